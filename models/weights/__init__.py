"""Tensors from files and from the model hub, and the digests that identify them.

It is the lowest room of `models` and imports none of the others.
"""
