"""Feedback in Redis: one record per video and span, with the statements before the latest, and three lists of them.

A statement and the mark that keeps its video are written in one step, so a sweep cannot come between them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from redis.asyncio import Redis

from core.errors import UnknownFeedback, UnknownVideo
from core.feedback.record import (
    MOST_HISTORY,
    Feedback,
    FeedbackFilter,
    PastStatement,
    Statement,
    feedback_id,
)
from core.records import SCHEMA
from core.state.project_keys import ProjectKeys
from service.bodies.cursors import AFTER_ALL, Entry, read_cursor, write_cursor
from service.catalog.listing import entries_before

_ID = re.compile(r"fb_[0-9a-f]{24}")
_BATCH: Final = 500  # records read at once
_MOST_SCANNED: Final = 10_000  # most records read for one page

# KEYS: video, VIDEOS, feedback, its history, FEEDBACK, list of the video
# ARGV: sha256, id, statement as JSON, now, label, key prefix of labels, length of the history, schema
# → -1: there is no such video; 0: it was said already; n: the revision
_ADD = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
redis.call('HSET', KEYS[1], 'kept', '1')
redis.call('ZADD', KEYS[2], '+inf', ARGV[1])
local said = redis.call('HGET', KEYS[3], 'said')
if said == ARGV[3] then return 0 end
if said then
  local past = cjson.encode({redis.call('HGET', KEYS[3], 'updated_at'), said})
  redis.call('RPUSH', KEYS[4], past)
  redis.call('LTRIM', KEYS[4], -tonumber(ARGV[7]), -1)
  redis.call('ZREM', ARGV[6] .. redis.call('HGET', KEYS[3], 'label'), ARGV[2])
end
redis.call('HSETNX', KEYS[3], 'created_at', ARGV[4])
redis.call('HSET', KEYS[3], 'said', ARGV[3], 'label', ARGV[5], 'updated_at', ARGV[4], 'schema', ARGV[8])
for _, list in ipairs({KEYS[5], KEYS[6], ARGV[6] .. ARGV[5]}) do redis.call('ZADD', list, ARGV[4], ARGV[2]) end
return redis.call('HINCRBY', KEYS[3], 'revision', 1)
"""

# KEYS: feedback, its history, FEEDBACK, list of the video    ARGV: id, key prefix of labels
_DELETE = """
local label = redis.call('HGET', KEYS[1], 'label')
if not label then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
for _, list in ipairs({KEYS[3], KEYS[4], ARGV[2] .. label}) do redis.call('ZREM', list, ARGV[1]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which feedback a list is of."""

    filter: FeedbackFilter = field(default_factory=FeedbackFilter)
    sha256: str | None = None

    def list_of(self, own: ProjectKeys) -> str:
        """The shortest list that has all of it."""
        if self.sha256 is not None:
            return own.feedback_of_video(self.sha256)
        labels = self.filter.labels
        return own.feedback_of_label(labels[0]) if labels is not None and len(labels) == 1 else own.all_feedback


class FeedbackCatalog:
    """Every method raises RedisError while Redis cannot be reached."""

    def __init__(self, redis: Redis, project: str) -> None:
        self._redis = redis
        self._own = ProjectKeys(project)
        self._add = redis.register_script(_ADD)
        self._delete = redis.register_script(_DELETE)

    async def add(self, said: Statement) -> tuple[Feedback, int]:
        """The feedback, and its new revision: 0 if exactly this was said already. Its video is kept from now on.

        Raises: UnknownVideo.
        """
        name = feedback_id(said.sha256, said.start, said.end)
        video = [self._own.video(said.sha256), self._own.videos]
        lists = [self._own.all_feedback, self._own.feedback_of_video(said.sha256)]
        revision = int(
            await self._add(
                keys=[*video, self._own.feedback(name), self._own.feedback_history(name), *lists],
                args=[
                    *(said.sha256, name, said.model_dump_json(), repr(time.time()), said.label),
                    *(self._own.feedback_of_label(""), str(MOST_HISTORY), str(SCHEMA)),
                ],
            )
        )
        if revision < 0:
            raise UnknownVideo(
                f"There is no video {said.video!r}.",
                hint="It has been deleted, or it expired VIREO_VIDEO_TTL seconds after its last use. Send it again.",
                nearest=[],
            )
        return await self.get(name), revision

    async def get(self, name: str) -> Feedback:
        """Raises: UnknownFeedback."""
        found = await self.find(name)
        if found is None:
            raise UnknownFeedback(
                f"There is no feedback {name[:80]!r}.",
                hint="GET /v1/feedback lists the feedback; its id follows from the video and the span.",
                nearest=[],
            )
        return found

    async def find(self, name: str) -> Feedback | None:
        return (await self._read([name]))[0] if _ID.fullmatch(name) else None

    async def history(self, name: str) -> list[PastStatement]:
        """The statements before the latest, the oldest first."""
        written = cast(list[str], await self._redis.lrange(self._own.feedback_history(name), 0, -1))
        return [_past(text) for text in written]

    async def delete(self, name: str) -> None:
        """With its history. The video stays, and stays kept. Raises: UnknownFeedback."""
        found = await self.get(name)
        lists = [self._own.all_feedback, self._own.feedback_of_video(found.sha256)]
        await self._delete(
            keys=[self._own.feedback(name), self._own.feedback_history(name), *lists],
            args=[name, self._own.feedback_of_label("")],
        )

    async def page(self, wanted: Wanted, cursor: str | None, limit: int) -> tuple[list[Feedback], str | None]:
        """The latest change first, and the cursor of the next page. A page of a filtered list may be short, even empty,
        where many others were looked at. Raises: InvalidRequest for a malformed cursor."""
        before, found, scanned, size = read_cursor(cursor), list[tuple[Entry, Feedback]](), 0, limit + 1
        while len(found) <= limit:
            entries = await entries_before(self._redis, wanted.list_of(self._own), before, size)
            found += await self._wanted(entries, wanted)
            if len(entries) < size:
                break
            before, scanned, size = entries[-1], scanned + len(entries), max(size, _BATCH)
            if scanned >= _MOST_SCANNED and len(found) <= limit:
                return [each for _, each in found], write_cursor(before)
        following = write_cursor(found[limit - 1][0]) if len(found) > limit else None
        return [each for _, each in found[:limit]], following

    async def all(self, wanted: Wanted) -> AsyncIterator[Feedback]:
        """The latest change first."""
        before = AFTER_ALL
        while entries := await entries_before(self._redis, wanted.list_of(self._own), before, _BATCH):
            for _, each in await self._wanted(entries, wanted):
                yield each
            before = entries[-1]

    async def kept(self, sha256s: Sequence[str]) -> list[bool | None]:
        """Whether these videos are kept; None for one that has been deleted."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                pipe.hget(self._own.video(sha256), "kept")
            return [None if value is None else value == "1" for value in await pipe.execute()]

    async def _wanted(self, entries: Sequence[Entry], wanted: Wanted) -> list[tuple[Entry, Feedback]]:
        records = await self._read([name for _, name in entries])
        pairs = zip(entries, records, strict=True)
        return [(entry, each) for entry, each in pairs if each and wanted.filter.accepts(each)]

    async def _read(self, names: Sequence[str]) -> list[Feedback | None]:
        """None for those that were deleted meanwhile."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._own.feedback(name))
            rows = await pipe.execute()
        return [_feedback(name, fields) if fields else None for name, fields in zip(names, rows, strict=True)]


def _feedback(name: str, fields: dict[str, str]) -> Feedback:
    said = Statement.model_validate_json(fields["said"])
    return Feedback(
        id=name,
        revision=int(fields["revision"]),
        created_at=float(fields["created_at"]),
        updated_at=float(fields["updated_at"]),
        **said.model_dump(),
    )


def _past(text: str) -> PastStatement:
    said_at, said = json.loads(text)
    return PastStatement(said_at=float(said_at), **Statement.model_validate_json(said).model_dump())
