"""A Redis that is full of somebody else's data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import redis

FOREIGN = "foreign:"


@contextlib.contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Set the limit a little above what is used, and write five times as much: buffers come and go."""
    before = str(client.config_get("maxmemory")["maxmemory"])
    limit = int(client.info("memory")["used_memory"]) + 2_000_000
    try:
        for number in range(100):
            client.set(f"{FOREIGN}{number}", "x" * 100_000)
        client.config_set("maxmemory", limit)
        yield
    finally:
        client.config_set("maxmemory", before)
        make_room(client)


def make_room(client: redis.Redis) -> None:
    for key in client.scan_iter(f"{FOREIGN}*", count=1000):
        client.delete(key)
