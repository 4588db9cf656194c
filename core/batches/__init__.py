"""Batches: one question about the videos of a manifest. The request for one, the lines of its manifest, its rows, and
its files in the store. It may import the rest of `core`.
"""
