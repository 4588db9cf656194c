"""What is kept in Redis: the names of its keys, the life of a job as atomic steps, the Celery queues.

It may import the rest of `core`.
"""
