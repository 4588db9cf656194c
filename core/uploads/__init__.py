"""Files that users send: hashed and staged while they arrive, or fetched from URLs with public addresses.

It may import `core.storage`, `core.errors` and `core.prometheus`.
"""
