"""Reading a sorted set of Redis from its highest score down, page by page."""

from __future__ import annotations

from typing import cast

from redis.asyncio import Redis

from service.bodies.cursors import Entry


async def entries_before(redis: Redis, key: str, before: Entry, most: int) -> list[Entry]:
    """The next `most` entries of the sorted set `key` that come after `before` in a list that begins with the highest.

    Raises: RedisError while Redis cannot be reached.
    """
    found: list[Entry] = []
    start = 0
    while len(found) < most:
        pairs = cast(
            list[tuple[str, float]],
            await redis.zrevrangebyscore(key, before[0], "-inf", start=start, num=most, withscores=True),
        )
        found += [(score, name) for name, score in pairs if (score, name) < before]
        start += len(pairs)
        if len(pairs) < most:
            break
    return found[:most]
