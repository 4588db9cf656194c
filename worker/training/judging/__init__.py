"""How good a model is on labelled clips: video vectors, scores, metrics, the probe of other labels.

It may import `run`.
"""
