"""Forward passes that concurrent requests share: one thread per tower, and what its device can fail with.

It may import `models`, `jobs` and `caches`.
"""
