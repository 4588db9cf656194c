"""What is known before training: heads on frozen features judged by cross-validation, a curve over clips per class, the
cost of training here, and one sentence of advice.

It may import `fit` and `run`.
"""
