"""Importing published checkpoints: a confined child process reads the file, and the worker publishes a new version.

It may import `jobs` and `children`. Only the child imports torch.
"""
