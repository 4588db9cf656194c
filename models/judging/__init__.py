"""Metrics and evaluation protocols of the papers, on arrays of scores.

It needs numpy only, and imports `frames.arrays` and no other part of `models`.
"""
