"""Engines: ways to compute the features of frames on the machine at hand, how they are prepared, checked and chosen.

It may import `recognition` and below. OpenVINO and NNCF are imported only where they are used: they are an extra.
"""
