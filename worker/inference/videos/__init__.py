"""What is known of stored videos, and the fetching of those that have a URL.

It may import `core` and `jobs`.
"""
