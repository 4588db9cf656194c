"""How much memory Redis uses, and whether it still takes new work."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.state import keys
from core.state.fullness import is_refusal


@dataclass(frozen=True, slots=True)
class RedisMemory:
    used: int = 0
    """Bytes that count towards the limit."""

    limit: int = 0
    """Bytes; 0 where Redis has no limit."""

    evictable: int = 0
    """Keys with a TTL, which Redis evicts for new ones: entries of the caches."""

    full: bool = False
    """Redis refuses what may need memory."""

    def in_words(self) -> str:
        share = f"{self.used} of {self.limit} bytes are used" if self.limit else f"{self.used} bytes are used"
        return f"Redis is full: {share}, and nothing can be evicted" if self.full else f"answers; {share}"


async def redis_memory(redis: Redis) -> RedisMemory:
    """Raises: RedisError."""
    memory = await redis.info("memory")
    keyspace = await redis.info("keyspace")
    return RedisMemory(
        used=int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0)),
        limit=int(memory.get("maxmemory", 0)),
        evictable=sum(int(database["expires"]) for database in keyspace.values()),
        full=await _refuses(redis),
    )


async def _refuses(redis: Redis) -> bool:
    try:
        await redis.set(keys.PROBE, "1")
    except ResponseError as error:
        if is_refusal(error):
            return True
        raise
    return False
