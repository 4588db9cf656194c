"""The models in a worker's memory: which one is the default, from which files, with which engine, and for how long.

It may import `models`, `core`, `jobs`, `batching` and `caches`.
"""
