"""Connections to Redis for a worker: those that must not lose a job are patient, those for caches give up at once."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def connect(url: str, *, decode: bool, patient: bool = True) -> redis.Redis:
    """`decode`: answers as str; `patient`: ride out a restart of Redis (about 20 seconds) instead of failing."""
    retry = Retry(ExponentialBackoff(cap=2.0, base=0.05), 15 if patient else 0)
    return redis.Redis.from_url(
        url, decode_responses=decode, retry=retry, socket_connect_timeout=5, health_check_interval=30
    )
