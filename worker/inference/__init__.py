"""Answers to questions about videos: loaded models, batching, caches, and the handlers that join them.

It may import `jobs`, `decoding` and `models`.
"""
