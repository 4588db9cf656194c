"""Tensors from files and from the model hub, and the digests that identify them.

This is the lowest room of `models`: it imports no other room.
"""
