"""How long finished jobs stay: for a time, up to a number, and up to a share of Redis's memory.

Unfinished jobs are never deleted. The files of a job in the store are deleted after its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, cast

from redis.asyncio import Redis

from core.settings import Settings
from core.state import keys
from core.state.fullness import GO_ON
from core.state.payloads import Payloads
from core.state.project_keys import ProjectKeys

_BATCH: Final = 500
_SHARE_OF_REDIS: Final = 4  # finished jobs may use a quarter of Redis's memory

# KEYS: FINISHED, JOBS, PAYLOADS    ARGV: prefix of job keys, job ttl, answer ttl, id, id, …    → how many were deleted
# One step, so that a run that is resumed at this moment is not deleted.
_DELETE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local deleted = 0
for index = 4, #ARGV do
  local id = ARGV[index]
  local job = ARGV[1] .. id
  local finished = redis.call('ZSCORE', KEYS[1], id)
  local kind = redis.call('HGET', job, 'kind')
  local answer = kind == 'classification' or kind == 'embedding' or kind == 'explanation' or kind == 'search'
    or kind == 'frames'
    or kind == 'classify' or kind == 'embed'  -- the names that earlier versions wrote
  local ttl = answer and ARGV[3] or ARGV[2]
  if finished and tonumber(finished) <= now - ttl then
    local held = redis.call('HGET', job, 'idempotency')
    if held then redis.call('DEL', held) end
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', redis.call('HGET', job, 'list') or KEYS[2], id) -- an earlier version had one list
    redis.call('DEL', job, job .. ':events', job .. ':metrics')
    redis.call('ZADD', KEYS[3], 'XX', 0, id)
    deleted = deleted + 1
  end
end
return deleted
"""

# KEYS: FINISHED    ARGV: prefix of job keys, first rank, last rank    → bytes of each job, the newest first
_MEASURE = """
local sizes = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], ARGV[2], ARGV[3])) do
  local size = 0
  for _, suffix in ipairs({'', ':events', ':metrics'}) do
    size = size + (redis.call('MEMORY', 'USAGE', ARGV[1] .. id .. suffix, 'SAMPLES', 0) or 0)
  end
  sizes[#sizes + 1] = size
end
return sizes
"""

# KEYS: PAYLOADS    ARGV: prefix of job keys, most ids    → ids of jobs with files and without a record
_UNOWNED = (
    GO_ON
    + """
local clock = redis.call('TIME')
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', clock[1], 'LIMIT', 0, ARGV[2])) do
  if redis.call('EXISTS', ARGV[1] .. id) == 1 then
    redis.call('ZADD', KEYS[1], 'XX', '+inf', id)
  else
    found[#found + 1] = id
  end
end
return found
"""
)


_ANSWERS: Final = frozenset(["classification", "embedding", "explanation", "search", "frames", "classify", "embed"])
"""As in `_DELETE`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after its end that a job of a background kind and an answer stay; most finished jobs; their bytes."""

    job_ttl: float
    answer_ttl: float
    jobs: int
    bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.job_ttl, settings.answer_ttl, settings.max_finished_jobs, settings.max_finished_bytes)


class Retention:
    """Raises RedisError while Redis cannot be reached, StorageUnavailable while the store cannot."""

    def __init__(self, redis: Redis, payloads: Payloads, limits: Limits) -> None:
        self._redis = redis
        self._payloads = payloads
        self._limits = limits
        self._delete = redis.register_script(_DELETE)
        self._measure = redis.register_script(_MEASURE)
        self._unowned = redis.register_script(_UNOWNED)

    async def sweep(self) -> int:
        """Delete what has stayed too long or is too much. Returns the number of deleted jobs."""
        deleted = await self._expire() + await self._keep(await self._room())
        await self._sweep_payloads()
        return deleted

    async def due(self) -> list[tuple[str, int]]:
        """The jobs that a sweep would delete now, and their bytes in Redis."""
        now, newest = (await self._redis.time())[0], await self._room()
        ids = cast(list[tuple[str, float]], await self._redis.zrange(keys.FINISHED, 0, -1, withscores=True))
        excess = len(ids) - newest
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id, _ in ids:
                pipe.hget(keys.job(job_id), "kind")
                pipe.memory_usage(keys.job(job_id), samples=0)
            answers = iter(await pipe.execute())
        found: list[tuple[str, int]] = []
        for rank, ((job_id, ended), kind, size) in enumerate(zip(ids, answers, answers, strict=True)):
            ttl = self._limits.answer_ttl if kind in _ANSWERS else self._limits.job_ttl
            if rank < excess or ended <= now - ttl:
                found.append((job_id, int(size or 0)))
        return found

    async def delete_jobs(self, ids: Sequence[str]) -> int:
        """Delete these jobs now, with their files, if they have ended. Returns how many there were."""
        deleted = 0
        for start in range(0, len(ids), _BATCH):
            deleted += await self._delete_jobs(list(ids[start : start + _BATCH]), 0.0, 0.0)
        await self._sweep_payloads()
        return deleted

    async def _expire(self) -> int:
        """Delete the jobs whose time is over."""
        shortest = min(self._limits.job_ttl, self._limits.answer_ttl)
        deleted = kept = 0
        while True:
            due = (await self._redis.time())[0] - shortest
            ids = await self._redis.zrangebyscore(keys.FINISHED, "-inf", due, start=kept, num=_BATCH)
            if not ids:
                return deleted
            gone = await self._delete_jobs(cast(list[str], ids), self._limits.job_ttl, self._limits.answer_ttl)
            deleted += gone
            kept += len(ids) - gone

    async def _room(self) -> int:
        """How many of the newest finished jobs may stay."""
        limit = int((await self._redis.info("memory")).get("maxmemory", 0))
        left = min(self._limits.bytes, limit // _SHARE_OF_REDIS) if limit else self._limits.bytes
        for first in range(0, self._limits.jobs, _BATCH):
            last = min(first + _BATCH, self._limits.jobs) - 1
            sizes = await self._measure(keys=[keys.FINISHED], args=[keys.job(""), str(first), str(last)])
            for rank, size in enumerate(sizes, first):
                left -= size
                if left < 0:
                    return rank
            if len(sizes) <= last - first:
                return first + len(sizes)
        return self._limits.jobs

    async def _keep(self, newest: int) -> int:
        """Delete the oldest finished jobs, so that `newest` are left."""
        deleted = 0
        while (excess := await self._redis.zcard(keys.FINISHED) - newest) > 0:
            ids = cast(list[str], await self._redis.zrange(keys.FINISHED, 0, min(excess, _BATCH) - 1))
            gone = await self._delete_jobs(ids, 0.0, 0.0)
            if not gone:  # another gateway was first
                break
            deleted += gone
        return deleted

    async def _delete_jobs(self, ids: list[str], job_ttl: float, answer_ttl: float) -> int:
        args = [keys.job(""), str(job_ttl), str(answer_ttl), *ids]
        return int(await self._delete(keys=[keys.FINISHED, ProjectKeys().jobs, keys.PAYLOADS], args=args))

    async def _sweep_payloads(self) -> None:
        while ids := await self._unowned(keys=[keys.PAYLOADS], args=[keys.job(""), str(_BATCH)]):
            for job_id in ids:
                await asyncio.to_thread(self._payloads.delete, job_id)
                await self._redis.zrem(keys.PAYLOADS, job_id)
