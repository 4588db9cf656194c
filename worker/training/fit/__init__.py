"""The training loop of a run, its checkpoints and its learning curves.

It may import `run`.
"""
