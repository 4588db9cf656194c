"""Unpacking an untrusted zip or tar archive in a confined child process.

Of the rest of the worker it may import `jobs.cancellation` and `children`.
"""
