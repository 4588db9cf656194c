"""Decoding in child processes that can be killed: the pool, the child, shared memory, the frame cache, clips of a
dataset.

It may import `worker.video`.
"""
