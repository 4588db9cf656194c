"""Calibrated confidence: null prompts, the evidence for a label, a logistic fit, and how well it holds on new labels.

It needs numpy, and scikit-learn for the fit. It imports `frames.arrays` and no other part of `models`.
"""
