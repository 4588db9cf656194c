"""Decoding in child processes that can be killed: the pool, the child, shared memory, the frame cache, and the clips of
a dataset as batches.

It may import `worker.video`.
"""
