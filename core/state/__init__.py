"""The state in Redis: the names of the keys, the life cycle of a job as atomic steps, the Celery queues.

It may import the rest of `core`.
"""
