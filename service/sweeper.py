"""Housekeeping, once a minute: finished jobs past their time, videos past theirs, partial files of dead writers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core import keys
from core.errors import StorageUnavailable
from core.storage import Store
from service.videos import Videos

log = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds
_BATCH = 500


class Sweeper:
    def __init__(self, redis: Redis, store: Store, videos: Videos, job_ttl: float) -> None:
        self._redis = redis
        self._store = store
        self._videos = videos
        self._job_ttl = job_ttl
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The first sweep is at once."""
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
        if partial or jobs or videos:
            log.info("swept %d partial files, %d jobs, %d videos", partial, jobs, videos)

    async def _sweep_jobs(self) -> int:
        swept = 0
        while True:
            due = time.time() - self._job_ttl
            ids = cast(list[str], await self._redis.zrangebyscore(keys.FINISHED, "-inf", due, start=0, num=_BATCH))
            if not ids:
                return swept
            await self._forget(ids)
            swept += len(ids)

    async def _forget(self, ids: list[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hget(keys.job(job_id), "idempotency")
            held = [key for key in await pipe.execute() if key]
        async with self._redis.pipeline() as pipe:
            pipe.delete(*held, *(name for job_id in ids for name in (keys.job(job_id), keys.events(job_id))))
            pipe.zrem(keys.JOBS, *ids)
            pipe.zrem(keys.FINISHED, *ids)
            await pipe.execute()

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (RedisError, StorageUnavailable, OSError) as error:
                log.warning("the sweep failed, the next one tries again: %s", error)
            await asyncio.sleep(INTERVAL)
