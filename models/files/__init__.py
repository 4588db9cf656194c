"""Models as files: opening a model of the zoo, saving and opening fine-tuned versions, reading published checkpoints.

It is the top of `models` and may import every other room of it.
"""
