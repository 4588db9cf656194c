"""Checkpoints that other projects have published, converted to our names and checked tensor by tensor.

It may import the rest of `models.files` and what lies below it.
"""
