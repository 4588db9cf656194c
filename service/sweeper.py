"""Deletes once a minute what is no longer needed: finished jobs and videos after their time to live, partial files of
processes that died, and archives that no job will read."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.datasets import archive_key
from core.errors import StorageUnavailable
from core.state import keys
from core.storage import Store
from service.catalog.videos import Videos
from service.jobs.repository import Jobs

log = logging.getLogger(__name__)

SWEEP_INTERVAL = 60.0  # seconds
_BATCH = 500
_ARCHIVES = archive_key("").rstrip("/")

# KEYS: FINISHED, JOBS    ARGV: job ttl, prefix of job keys, id, id, …    → how many were deleted
# One step, so that a run that is resumed at this moment is not deleted.
_DELETE_JOBS = """
local clock = redis.call('TIME')
local due = clock[1] - ARGV[1]
local deleted = 0
for index = 3, #ARGV do
  local finished = redis.call('ZSCORE', KEYS[1], ARGV[index])
  if finished and tonumber(finished) <= due then
    local job = ARGV[2] .. ARGV[index]
    local held = redis.call('HGET', job, 'idempotency')
    if held then redis.call('DEL', held) end
    redis.call('DEL', job, job .. ':events', job .. ':metrics')
    redis.call('ZREM', KEYS[1], ARGV[index])
    redis.call('ZREM', KEYS[2], ARGV[index])
    deleted = deleted + 1
  end
end
return deleted
"""


class Sweeper:
    def __init__(self, redis: Redis, store: Store, videos: Videos, jobs: Jobs, job_ttl: float) -> None:
        self._redis = redis
        self._jobs = jobs
        self._delete_jobs = redis.register_script(_DELETE_JOBS)
        self._unclaimed: set[str] = set()
        self._store = store
        self._videos = videos
        self._job_ttl = job_ttl
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The first sweep starts at once."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Raises: RedisError, StorageUnavailable, OSError."""
        partial = await asyncio.to_thread(self._store.sweep)
        jobs = await self._sweep_jobs()
        videos = await self._videos.sweep()
        archives = await self._sweep_archives()
        if partial or jobs or videos or archives:
            log.info("swept %d partial files, %d jobs, %d videos, %d archives", partial, jobs, videos, archives)

    async def _sweep_jobs(self) -> int:
        swept = 0
        while True:
            due = (await self._redis.time())[0] - self._job_ttl
            ids = cast(list[str], await self._redis.zrangebyscore(keys.FINISHED, "-inf", due, start=0, num=_BATCH))
            if not ids:
                return swept
            args = [str(self._job_ttl), keys.job(""), *ids]
            swept += int(await self._delete_jobs(keys=[keys.FINISHED, keys.JOBS], args=args))

    async def _sweep_archives(self) -> int:
        """An archive is published shortly before its job is created: it is deleted if two sweeps find no job for it."""
        waiting = await self._jobs.unfinished(keys.DATASETS)
        owned = {job.request.get("archive") or job.request.get("file") for job in waiting}
        there = await asyncio.to_thread(self._store.children, _ARCHIVES)
        # A worker's notes on an archive have its name and a suffix.
        unclaimed = {name for name in there if archive_key(name.partition(".")[0]) not in owned}
        stale = unclaimed & self._unclaimed
        self._unclaimed = unclaimed - stale
        for name in stale:
            await asyncio.to_thread(self._store.delete, archive_key(name))
        return len(stale)

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (RedisError, StorageUnavailable, OSError) as error:
                log.warning("the sweep failed and is repeated at the next interval: %s", error)
            await asyncio.sleep(SWEEP_INTERVAL)
