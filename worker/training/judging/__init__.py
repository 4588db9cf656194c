"""How well a model does on labelled clips: video vectors, scores, metrics, and what training costs other labels.

It may import `fit` and `run`.
"""
