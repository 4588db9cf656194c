"""Whether one model is better than another on the same clips: a paired bootstrap over predictions.

It may import nothing of the rest of `core`.
"""
