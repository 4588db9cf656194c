"""How a run is fitted: the training loop with its checkpoints and learning curves, or the closed form.

It may import `run`.
"""
