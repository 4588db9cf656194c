"""Metrics and evaluation protocols of the papers, on arrays of scores.

It needs numpy only, and imports no other part of `models`.
"""
