"""Caches of what is expensive to compute: frame features of videos and classifier rows, in memory and in Redis.

It may import `models`, but no other part of the inference worker.
"""
