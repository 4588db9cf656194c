"""Uploads: hashed and staged while they arrive, or fetched from URLs with public addresses.

It imports no other folder of `service`.
"""
