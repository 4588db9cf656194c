"""The child process of a run: it holds the order of events, from the base model to the published version.

It may import `result`, `judging` and `run`.
"""
