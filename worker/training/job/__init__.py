"""The parent of a training run: a Celery job that starts the child process and keeps what it reports. No torch.

It may import `spec`, `worker.jobs` and `worker.children`.
"""
