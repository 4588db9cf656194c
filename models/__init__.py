"""The recognisers, in pure PyTorch. No web framework, no queue, no Redis.

The only file of another room it imports is `core/vocabulary.py`. Its rooms form layers, and each imports only those
below it: weights, profiles, frames, text and image, lite and classifier, recognition, fitting, judging and
calibration, files.
"""
