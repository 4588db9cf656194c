"""The search over stored videos, and what makes them searchable: the vectors of their windows.

It may import the rest of `worker.inference` except `explanation` and `role`, and `models`.
"""
