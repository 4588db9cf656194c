"""The engine of each model that is served: the one that was found for this machine, and finding it in the background.

It may import `models`, `core` and `worker.inference.opening`.
"""
