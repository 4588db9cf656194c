"""The jobs that mention a video, in their request or in their result, so that they can be deleted with it.

There is no index of them: the records are searched, by Redis itself, and the files of those whose request or result is
in the store. A video is deleted rarely, and an index would have to be right whatever dies.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Final

from redis.asyncio import Redis

from core.batches.redaction import mentions, named_videos, redact
from core.errors import UnknownJob
from core.state import keys
from core.storage import Store
from service.jobs.repository import Jobs
from service.jobs.retention import Retention

_BATCH: Final = 200  # records that Redis searches in one step
_FILES: Final = 16  # jobs whose files are read at the same time
_TRIES, _PAUSE = 10, 0.2  # looks at jobs that are being cancelled, and seconds between two of them

_SHA256 = re.compile(r"[0-9a-f]{64}")

# ARGV: prefix of job keys, what is searched, id, id, …
# → for each job that mentions it, or may do so in its files: id, kind, 1 if it is final, parent, 1 if its record does
# Only questions are searched. A dataset has a copy of each of its clips, and a run knows the dataset only.
_SEARCH = """
local questions = {}
for kind in string.gmatch('classification classify embedding embed explanation frames search indexing batch', '%S+') do
  questions[kind] = true
end
local found = {}
for index = 3, #ARGV do
  local job = ARGV[1] .. ARGV[index]
  local about = redis.call('HMGET', job, 'kind', 'state', 'parent', 'request_key', 'result_key')
  if about[1] and questions[about[1]] then
    local here = '0'
    for _, value in ipairs(redis.call('HVALS', job)) do
      if string.find(value, ARGV[2], 1, true) then here = '1' end
    end
    if here == '1' or about[4] or about[5] or about[1] == 'batch' then
      local final = about[2] == 'succeeded' or about[2] == 'failed' or about[2] == 'cancelled'
      found[#found + 1] = {ARGV[index], about[1], final and '1' or '0', about[3] or '', here}
    end
  end
end
return found
"""


@dataclass(frozen=True, slots=True)
class _Mention:
    job_id: str
    kind: str
    final: bool
    parent: str


@dataclass(slots=True)
class _Found:
    done: list[str] = field(default_factory=list)
    """Jobs that have ended and may be deleted."""
    batches: list[str] = field(default_factory=list)
    """Batches that have ended."""
    open: list[_Mention] = field(default_factory=list)
    """Jobs that have not ended, and the children of such."""


class Mentions:
    """Raises RedisError while Redis cannot be reached, StorageUnavailable while the store cannot."""

    def __init__(self, redis: Redis, store: Store, jobs: Jobs, retention: Retention) -> None:
        """`store`: the files of jobs. `jobs`: those of the project."""
        self._redis, self._store, self._jobs, self._retention = redis, store, jobs, retention
        self._search = redis.register_script(_SEARCH)

    async def delete(self, sha256: str, until: float) -> bool:
        """Delete the finished jobs that mention the video and were made by the time `until`; cancel the questions about
        it; take its rows out of batches. Returns False if a job that mentions it has not ended yet."""
        ids = await self._jobs.ids(until)
        for _ in range(_TRIES):
            found = await self._find(ids, sha256)
            if found.done:
                await self._retention.delete_jobs(found.done)
            for batch in found.batches:
                await asyncio.to_thread(redact, self._store, batch, sha256)
            if not found.open:
                return True
            if not await self._cancel(found.open):
                return False
            ids = [mention.job_id for mention in found.open]
            await asyncio.sleep(_PAUSE)
        return False

    async def needed(self, sha256s: list[str]) -> set[str]:
        """Those of the videos that a job of the project names which has not ended."""
        wanted, found = set(sha256s), set[str]()
        if not wanted:
            return found
        for queue in (keys.INFERENCE, keys.DATASETS, keys.TRAINING):
            for job in await self._jobs.unfinished(queue):
                found |= wanted & set(_SHA256.findall(json.dumps(job.request)))
                if job.kind == "batch":
                    found |= wanted & await asyncio.to_thread(named_videos, self._store, job.id)
        return found

    async def _find(self, ids: list[str], sha256: str) -> _Found:
        found = _Found()
        for mention in await self._mentions(ids, sha256):
            if not mention.final or (mention.parent and await self._is_open(mention.parent)):
                found.open.append(mention)
            elif mention.kind == "batch":
                found.batches.append(mention.job_id)
            else:
                found.done.append(mention.job_id)
        return found

    async def _mentions(self, ids: list[str], sha256: str) -> list[_Mention]:
        found: list[_Mention] = []
        for start in range(0, len(ids), _BATCH):
            rows = await self._search(keys=[], args=[keys.job(""), sha256, *ids[start : start + _BATCH]])
            named = {row[0] for row in rows if row[4] == "1"} | await self._named_in_files(
                [row[0] for row in rows if row[4] == "0"], sha256
            )
            found += [_Mention(row[0], row[1], row[2] == "1", row[3]) for row in rows if row[0] in named]
        return found

    async def _named_in_files(self, ids: list[str], sha256: str) -> set[str]:
        free = asyncio.Semaphore(_FILES)

        async def look(job_id: str) -> bool:
            async with free:
                return await asyncio.to_thread(mentions, self._store, job_id, sha256)

        looks = await asyncio.gather(*map(look, ids))
        return {job_id for job_id, named in zip(ids, looks, strict=True) if named}

    async def _is_open(self, parent: str) -> bool:
        """A batch reads the answers of its questions when it goes on."""
        state = await self._redis.hget(keys.job(parent), "state")
        return state in ("queued", "running")

    async def _cancel(self, mentioned: list[_Mention]) -> bool:
        """Cancel the questions about the video itself. Returns whether there are any."""
        asked = [each for each in mentioned if not each.final and each.kind not in ("batch", "indexing")]
        for mention in asked:
            try:
                await self._jobs.cancel(await self._jobs.record(mention.job_id))
            except UnknownJob:
                continue
        return bool(asked)
