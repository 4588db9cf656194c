"""Unpacking an untrusted zip or tar archive in a confined child process.

It may import `worker.jobs.cancellation` and nothing else of the worker.
"""
