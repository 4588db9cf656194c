"""Deletes once a minute what is no longer needed: finished jobs and videos after their time to live, partial files of
processes that died, and archives that no job will read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from core.datasets import archive_key
from core.errors import StorageUnavailable
from core.state import keys
from core.storage import Store
from service import background
from service.catalog.videos import Videos
from service.jobs.repository import Jobs
from service.jobs.retention import Retention

log = logging.getLogger(__name__)

SWEEP_INTERVAL = 60.0  # seconds; at once when Redis was too full for a new job
PAUSE = 2.0  # seconds between two sweeps at least
_ARCHIVES = archive_key("").rstrip("/")


class Sweeper:
    def __init__(self, store: Store, jobs: Jobs, retention: Retention, videos_of: Callable[[str], Videos]) -> None:
        """`videos_of`: the videos of a project."""
        self._jobs = jobs
        self._retention = retention
        self._unclaimed: set[tuple[str, str]] = set()  # of the last sweep: projects and the names of archives
        self._store = store
        self._videos_of = videos_of
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The first sweep starts at once."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        await background.end(self._task)

    async def sweep(self) -> None:
        """Raises: RedisError, StorageUnavailable, OSError."""
        partial = await asyncio.to_thread(self._store.sweep)
        jobs = await self._retention.sweep()
        projects = await asyncio.to_thread(self._store.projects)
        videos = sum([await self._videos_of(project).sweep() for project in projects])
        archives = await self._sweep_archives(projects)
        if partial or jobs or videos or archives:
            log.info("swept %d partial files, %d jobs, %d videos, %d archives", partial, jobs, videos, archives)

    async def _sweep_archives(self, projects: Sequence[str]) -> int:
        """An archive is published shortly before its job is created: it is deleted if two sweeps find no job for it."""
        unclaimed = {(project, name) for project in projects for name in await self._unclaimed_by(project)}
        stale = unclaimed & self._unclaimed
        self._unclaimed = unclaimed - stale
        for project, name in stale:
            await asyncio.to_thread(self._store.of(project).delete, archive_key(name))
        return len(stale)

    async def _unclaimed_by(self, project: str) -> set[str]:
        """The names of a project's archives that no job is to read."""
        waiting = await self._jobs.of(project).unfinished(keys.DATASETS)
        owned = {job.request.get("archive") or job.request.get("file") for job in waiting}
        there = await asyncio.to_thread(self._store.of(project).children, _ARCHIVES)
        # A worker's notes on an archive have its name and a suffix.
        return {name for name in there if archive_key(name.partition(".")[0]) not in owned}

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (RedisError, StorageUnavailable, OSError) as error:
                log.warning("the sweep failed and is repeated at the next interval: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._jobs.refused.wait(), SWEEP_INTERVAL)
                self._jobs.refused.clear()
                await asyncio.sleep(PAUSE)  # a full Redis refuses many requests
