"""The tier of the caches that workers share: bytes in Redis, each with a TTL. Without it a worker is only slower.

A cache that is away costs nothing: after two failures in a row no command is sent for some seconds, then one command
finds out whether it is back. (The circuit breakers on PyPI hold a lock during the call, which would put the worker's
threads in a row.)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import redis

log = logging.getLogger(__name__)

R = TypeVar("R")

TIMEOUT = 0.5  # seconds that a cache may take to connect or to answer; computing anew is often as fast
AWAY_SECONDS = 10.0  # that no command is sent to a cache that is away
_FAILURES = 2  # in a row, until the cache counts as away


class Breaker:
    """Decides whether a command is worth its wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0

    def admits(self) -> bool:
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return False
            if self._failures >= _FAILURES:
                self._closed_until = now + AWAY_SECONDS  # for the others, while this one finds out
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._closed_until = 0, 0.0

    def failed(self) -> bool:
        """Returns whether the cache counts as away from now on."""
        with self._lock:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._closed_until = self._clock() + AWAY_SECONDS
            return self._failures == _FAILURES


class Field(NamedTuple):
    """A field of a hash."""

    key: str
    name: str


class RemoteCache:
    def __init__(self, client: redis.Redis, ttl: int, breaker: Breaker | None = None) -> None:
        """`client` must not decode responses; `ttl`: seconds that an entry stays."""
        self._redis = client
        self._ttl = ttl
        self._breaker = breaker or Breaker()

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What is there of `keys`."""
        values = self._attempt(lambda: self._redis.mget(keys)) if keys else None
        return {key: value for key, value in zip(keys, values or (), strict=False) if isinstance(value, bytes)}

    def put(self, entries: Mapping[str, bytes]) -> None:
        def write() -> None:
            pipe = self._redis.pipeline(transaction=False)
            for key, value in entries.items():
                pipe.set(key, value, ex=self._ttl)
            pipe.execute()

        self._attempt(write)

    def get_fields(self, fields: Sequence[Field]) -> dict[Field, bytes]:
        """What is there of `fields`."""

        def read() -> list[object]:
            pipe = self._redis.pipeline(transaction=False)
            for field in fields:
                pipe.hget(field.key, field.name)
            return pipe.execute(raise_on_error=False)

        values = self._attempt(read) if fields else None
        return {field: value for field, value in zip(fields, values or (), strict=False) if isinstance(value, bytes)}

    def put_field(self, field: Field, value: bytes) -> None:
        """The whole hash stays as long as its newest field."""

        def write() -> None:
            pipe = self._redis.pipeline(transaction=True)  # a hash without a TTL could not be evicted
            pipe.hset(field.key, field.name, value)
            pipe.expire(field.key, self._ttl)
            pipe.execute()

        self._attempt(write)

    def delete(self, key: str) -> None:
        self._attempt(lambda: self._redis.unlink(key))

    def _attempt(self, command: Callable[[], R]) -> R | None:
        if not self._breaker.admits():
            return None
        try:
            result = command()
        except redis.RedisError as error:
            if self._breaker.failed():
                log.warning("the cache does not answer and is left alone for %g s: %s", AWAY_SECONDS, error)
            return None
        self._breaker.succeeded()
        return result
