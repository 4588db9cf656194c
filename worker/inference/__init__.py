"""Answers to questions about videos: loaded models, batching, caches, and the handlers that use them.

It may import `jobs`, `decoding` and `models`.
"""
