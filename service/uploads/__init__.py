"""Uploads: hashed and staged while they arrive, decoded from base64, or fetched from URLs with public addresses.

It imports no other folder of `service`.
"""
