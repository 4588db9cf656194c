"""`vireo gc`: what is stored too long or too much, and what belongs to nothing. It runs beside gateways, or alone.

It does at once what the sweeper does each minute, and looks for what the sweeper does not look for, because it takes a
listing of the whole store: files that no record names. Such a file goes only if it is older than an hour, and after one
more look whether a record has come meanwhile. Kept videos, unfinished jobs and what they need, datasets, models and
reports are never touched.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

from redis.exceptions import RedisError

from core.errors import StorageUnavailable
from core.settings import Settings, get_settings
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.storage.stored_file import StoredFile
from service.gateway import Gateway, open_views
from service.jobs.retention import Limits, Retention
from service.sweeper import Sweeper

GRACE: Final = 3600.0
"""Seconds that a file without a record stays: the record may still be written."""

_FILE = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:blobs/(?P<sha256>[0-9a-f]{64})|jobs/(?P<files_of>job_\w+)/.+|runs/(?P<run>job_\w+)[./].+)"
)


@dataclass(frozen=True, slots=True)
class Waste:
    kind: str
    name: str
    bytes: int
    why: str


class Collection:
    def __init__(self, gateway: Gateway, retention: Retention, limits: Limits) -> None:
        self._gateway, self._retention, self._limits = gateway, retention, limits
        self._store, self._redis = gateway.payloads, gateway.redis

    async def find(self) -> list[Waste]:
        """What would go now. Raises: RedisError, StorageUnavailable."""
        projects = await asyncio.to_thread(self._store.projects)
        listed = await asyncio.to_thread(self._store.listing)
        videos = [waste for project in projects for waste in await self._videos(project)]
        going = {waste.name.rpartition("/")[2].removeprefix("vid_") for waste in videos}
        found = [*videos, *await self._jobs(listed), *await self._files(listed)]
        partial = await asyncio.to_thread(self._store.stale_parts)
        found += [Waste("partial", path.name, size, "its writer died") for path, size in partial]
        return [each for each in found if each.kind != "blob" or each.name.rpartition("/")[2] not in going]

    async def collect(self) -> list[Waste]:
        """What has gone. Raises: RedisError, StorageUnavailable; what is left goes the next time."""
        found = await self.find()
        await self._sweeper().sweep()
        for waste in found:
            if waste.kind == "blob":
                await self._remove_blob(waste.name)
            elif waste.kind in ("job files", "checkpoint") and not await self._has_record(waste.name):
                await asyncio.to_thread(self._store.delete, waste.name)
        return found

    def _sweeper(self) -> Sweeper:
        gateway = self._gateway
        return Sweeper(self._store, gateway.jobs, self._retention, lambda project: gateway.of(project).videos)

    async def _videos(self, project: str) -> list[Waste]:
        prefix = "" if project == self._gateway.project else f"{project}/"
        gone = await self._gateway.of(project).videos.over()
        return [Waste("video", f"{prefix}vid_{each.sha256}", each.bytes, each.why) for each in gone]

    async def _jobs(self, listed: dict[str, StoredFile]) -> list[Waste]:
        sizes: dict[str, int] = {}
        for key, file in listed.items():
            if (found := _FILE.fullmatch(key)) and found["files_of"]:
                sizes[found["files_of"]] = sizes.get(found["files_of"], 0) + file.bytes
        due = await self._retention.due()
        return [
            Waste("job", job, size + sizes.get(job, 0), "its time is over, or there are too many") for job, size in due
        ]

    async def _files(self, listed: dict[str, StoredFile]) -> list[Waste]:
        before = time.time() - GRACE
        old = [(key, file, _FILE.fullmatch(key)) for key, file in listed.items() if file.modified < before]
        found: list[Waste] = []
        for key, file, about in old:
            if about is None or await self._has_record(key):
                continue
            kind = "blob" if about["sha256"] else "job files" if about["files_of"] else "checkpoint"
            found.append(Waste(kind, key, file.bytes, "no record names it"))
        return found

    async def _has_record(self, key: str) -> bool:
        about = _FILE.fullmatch(key)
        if about is None:
            return True
        if about["sha256"]:
            own = ProjectKeys(about["project"] or self._gateway.project)
            return bool(await self._redis.exists(own.video(about["sha256"]), own.video_deleting(about["sha256"])))
        return bool(await self._redis.exists(keys.job(about["files_of"] or about["run"])))

    async def _remove_blob(self, key: str) -> None:
        about = _FILE.fullmatch(key)
        if about and about["sha256"]:
            project = about["project"] or self._gateway.project
            await self._gateway.of(project).videos.remove_remains(about["sha256"])


async def run(settings: Settings, *, dry: bool) -> list[Waste]:
    """Raises: RedisError, StorageUnavailable."""
    limits = Limits.from_settings(settings)
    async with open_views(settings) as (gateway, retention):
        collection = Collection(gateway, retention, limits)
        return await (collection.find() if dry else collection.collect())


def main() -> int:
    """`python -m service.collection [--dry-run]`: what goes or would go, as one JSON object; the command prints it."""
    try:
        found = asyncio.run(run(get_settings(), dry="--dry-run" in sys.argv[1:]))
    except (RedisError, StorageUnavailable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps([asdict(each) for each in found]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
