"""Backup and restore of everything that an installation stores, while it runs: Redis and the store. It may import the
rest of `core`.
"""
