"""The child process of a run: the order of events, from the base model to the version that is ready to publish.

It may import `result`, `judging`, `fit` and `run`.
"""
