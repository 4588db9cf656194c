"""Batches: the job that asks one question about many videos, a few at a time, and objects of an object store as videos.

It may import `worker.jobs`, `worker.inference.videos.facts` and `core`, and neither torch nor `models`.
"""
