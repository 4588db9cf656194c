"""Celery workers: decode, batch, infer. The only room that meets both the GPU and the queue."""
