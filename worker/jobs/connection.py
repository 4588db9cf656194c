"""Connections of a worker to Redis: a connection for jobs retries, a connection for caches fails at once."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def connect(url: str, *, decode: bool, patient: bool = True, timeout: float = 5.0) -> redis.Redis:
    """decode: replies are str instead of bytes; patient: retry through a restart of Redis (about 20 seconds); timeout:
    of connecting and of one reply, in seconds."""
    retry = Retry(ExponentialBackoff(cap=2.0, base=0.05), 15 if patient else 0)
    return redis.Redis.from_url(
        url,
        decode_responses=decode,
        retry=retry,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        health_check_interval=30,
    )
