"""The label doctor: what it is asked and what it answers, and what it finds without any weights.

It may import the rest of `core`.
"""
