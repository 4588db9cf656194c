"""The recognisers, in pure PyTorch. No web framework, no queue, no Redis.

The only file of another room that is imported here is `core/vocabulary.py`, which holds nothing but names.
"""
