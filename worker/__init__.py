"""The Celery workers: they decode, run the recognisers, train, check datasets and import checkpoints.

They import `core` and `models`, never the gateway.
"""
