"""Feedback: what people say that videos show, and which of it a dataset is made of.

It may import the rest of `core`.
"""
