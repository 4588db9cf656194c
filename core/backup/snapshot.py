"""All keys of Redis at one moment, in a form that any Redis of the same version or a newer one can take back.

One script reads them, so nothing changes meanwhile. Caches, heartbeats and messages of the broker are left out: the
first can be made again, the second would be wrong, and jobs whose message is missing get a new one from the reaper.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import ConnectionPool, Redis

from core.state import keys

LEFT_OUT: Final = ("vireo:cache:", "vireo:worker", keys.PROBE, keys.DEFAULT_MODEL, keys.RESTORING)

_SECONDS: Final = 120.0  # that the script may take
_BATCH: Final = 500  # keys that are restored in one command

# ARGV: prefixes that are left out    → key, milliseconds to live or -1, its value as DUMP has it, …
_READ: Final = """
local found, seen, cursor = {}, {}, '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', 'vireo:*', 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local wanted = not seen[key]
    for _, prefix in ipairs(ARGV) do
      if string.sub(key, 1, #prefix) == prefix then wanted = false end
    end
    if wanted then
      seen[key] = true
      local value = redis.call('DUMP', key)
      if value then
        found[#found + 1] = key
        found[#found + 1] = redis.call('PTTL', key)
        found[#found + 1] = value
      end
    end
  end
until cursor == '0'
return found
"""


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    ttl: int
    """Milliseconds; -1 for none."""
    value: bytes


def read_snapshot(redis: Redis) -> list[Entry]:
    """Redis answers nobody else meanwhile. Raises: RedisError."""
    parts = iter(cast(list[Any], _raw(redis).eval(_READ, 0, *LEFT_OUT)))
    return [Entry(key.decode(), ttl, value) for key, ttl, value in zip(parts, parts, parts, strict=True)]


def write_entries(entries: list[Entry], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            value = base64.b64encode(entry.value).decode()
            file.write(json.dumps({"key": entry.key, "ttl": entry.ttl, "value": value}) + "\n")


def read_entries(path: Path) -> Iterator[Entry]:
    """Raises: ValueError for a file that is no snapshot."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            yield Entry(entry["key"], entry["ttl"], base64.b64decode(entry["value"]))


def is_empty(redis: Redis) -> bool:
    """Whether Redis holds nothing of Vireo."""
    return next(iter(redis.scan_iter("vireo:*", count=1000)), None) is None


def load_entries(redis: Redis, entries: Iterator[Entry]) -> int:
    """Put the keys into an empty Redis. Returns how many there were. Raises: RedisError."""
    pipe, count = _raw(redis).pipeline(transaction=False), 0
    for entry in entries:
        pipe.restore(entry.key, max(entry.ttl, 0), entry.value)  # 0: no time to live
        count += 1
        if count % _BATCH == 0:
            pipe.execute()
    pipe.execute()
    return count


def _raw(redis: Redis) -> Redis:
    """The same Redis, whose replies are bytes."""
    pool = redis.connection_pool
    options = pool.connection_kwargs | {"decode_responses": False, "socket_timeout": _SECONDS}
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))
