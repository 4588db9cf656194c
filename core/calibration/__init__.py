"""Calibrations: the request for one, its record, its place in the store, and which clips it may use.

It may import the rest of `core`.
"""
