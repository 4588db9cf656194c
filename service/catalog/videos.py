"""Stored videos: bytes in the store under their hash, a record in Redis, and a time after which they may be deleted.

To add a video, the record is written first and the bytes second. To remove one (`service/catalog/removal.py`), the
record goes first, and the mark `video_deleting` stands until the bytes are gone. So a sweep never deletes bytes
that were added after it began.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from redis.asyncio import Redis

from core.errors import StorageUnavailable, UnknownVideo
from core.feedback.record import feedback_id
from core.records import StoredVideo, video_id
from core.state.project_keys import ProjectKeys
from core.state.video_records import (
    DELETING_POLL,
    DESCRIBE,
    RECORD,
    describe_args,
    from_fields,
    record_args,
)
from core.storage import Staged, Store, blob_key
from service.bodies.cursors import Entry, read_cursor, write_cursor
from service.bodies.validation import similar_names
from service.catalog.listing import entries_before
from service.catalog.removal import Removal
from service.http.downloads import LocalFile

_ID = re.compile(r"vid_([0-9a-f]{64})")
_BATCH = 500  # records read at once

# KEYS: video, VIDEOS    ARGV: sha256, deletable after    → 1, or 0 if there is no such video
_USE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[1], 'kept') == '0' then redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) end
return 1
"""

# KEYS: VIDEOS    ARGV: sha256, its score when it was added, now
_RELEASE = """
local after = redis.call('ZSCORE', KEYS[1], ARGV[1])
if after and tonumber(after) == tonumber(ARGV[2]) then redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
"""

# KEYS: VIDEOS, VIDEOS_CREATED, VIDEOS_UNCERTAIN    ARGV: key prefix of videos
# Gateways of an earlier version add and delete videos without the lists.
_COMPLETE_LIST = """
for _, sha256 in ipairs(redis.call('ZDIFF', 2, KEYS[1], KEYS[2])) do
  local created = redis.call('HGET', ARGV[1] .. sha256, 'created_at')
  if created then redis.call('ZADD', KEYS[2], created, sha256) end
end
for _, list in ipairs({KEYS[2], KEYS[3]}) do
  for _, sha256 in ipairs(redis.call('ZDIFF', 2, list, KEYS[1])) do redis.call('ZREM', list, sha256) end
end
"""

Order = Literal["created", "uncertainty"]


@dataclass(frozen=True, slots=True)
class AddedVideo:
    sha256: str
    new: bool
    deletable_after: float


@dataclass(frozen=True, slots=True)
class Gone:
    """A video that is to go, unless it is used after the time `before` was read."""

    sha256: str
    bytes: int
    before: float
    why: str


class Videos:
    def __init__(self, redis: Redis, store: Store, removal: Removal, ttl: float, most_bytes: int | None = None) -> None:
        """`ttl`: seconds after its last use that a video stays, unless it is kept. `most_bytes`: of all videos."""
        self._redis = redis
        self._store = store
        self._own = ProjectKeys(store.project)
        self._removal = removal
        self._ttl = ttl
        self._most_bytes = most_bytes
        self._record = redis.register_script(RECORD)
        self._use = redis.register_script(_USE)
        self._release = redis.register_script(_RELEASE)
        self._describe = redis.register_script(DESCRIBE)
        self._complete_list = redis.register_script(_COMPLETE_LIST)

    async def add(self, staged: Staged, *, keep: bool = False) -> AddedVideo:
        """Publish an upload. Raises: StorageUnavailable."""
        sha256 = staged.sha256
        new, deletable_after = await self._write_record(sha256, staged.size, keep)
        try:
            await asyncio.to_thread(self._store.publish, staged, blob_key(sha256))
        except StorageUnavailable:
            if new:
                await self._removal.expire(sha256, before=math.inf)
            raise
        return AddedVideo(sha256, new, deletable_after)

    async def use(self, video: str) -> str:
        """The sha256 of a stored video. Its time to live starts anew. Raises: UnknownVideo."""
        sha256 = await self._parse(video)
        now = time.time()
        if not await self._use(keys=[self._own.video(sha256), self._own.videos], args=[sha256, str(now + self._ttl)]):
            raise await self._unknown(video)
        return sha256

    async def content(self, video: str) -> LocalFile:
        """The bytes of a stored video, as a file on this machine that the caller closes. Its time to live starts anew.

        Raises: UnknownVideo, StorageUnavailable.
        """
        sha256 = await self.use(video)
        try:
            return await LocalFile.open(self._store.local_file(blob_key(sha256)))
        except FileNotFoundError:  # the record is written before the bytes
            raise await self._unknown(video) from None

    async def keep(self, video: str) -> str:
        """Keep a stored video until it is deleted. Raises: UnknownVideo."""
        found = await self.get(video)
        await self._write_record(found.sha256, found.bytes, keep=True)
        return found.sha256

    async def release(self, added: AddedVideo) -> None:
        """Delete a video whose job was refused, unless it was known before or was used since."""
        if added.new:
            args = [added.sha256, str(added.deletable_after), str(time.time())]
            await self._release(keys=[self._own.videos], args=args)
            await self.drop(added.sha256)

    async def get(self, video: str) -> StoredVideo:
        """Raises: UnknownVideo."""
        sha256 = await self._parse(video)
        fields = cast(dict[str, str], await self._redis.hgetall(self._own.video(sha256)))
        if not fields:
            raise await self._unknown(video)
        return from_fields(fields, await self._redis.zscore(self._own.videos, sha256))

    async def describe(self, video: str, tags: Sequence[str] | None, metadata: Mapping[str, str] | None) -> StoredVideo:
        """Replace what is given; None stays. Raises: UnknownVideo."""
        script_keys, args = describe_args(await self._parse(video), tags, metadata, self._own)
        if not await self._describe(keys=script_keys, args=args):
            raise await self._unknown(video)
        return await self.get(video)

    async def page(
        self, cursor: str | None, limit: int, tags: Sequence[str] = (), order: Order = "created"
    ) -> tuple[list[StoredVideo], str | None]:
        """Those with all `tags`, newest first, and the cursor of the next page. In the order of `uncertainty` those
        with an answer, the least certain first, without those that a person has labelled as a whole. Raises:
        InvalidRequest for a malformed cursor."""
        by_uncertainty = order == "uncertainty"
        key = (
            self._own.videos_uncertain
            if by_uncertainty
            else self._own.video_tag(tags[0])
            if tags
            else self._own.videos_created
        )
        before, found, size = read_cursor(cursor), list[tuple[Entry, StoredVideo]](), limit + 1
        while len(found) <= limit:
            entries = await entries_before(self._redis, key, before, size)
            labelled = await self._labelled([sha256 for _, sha256 in entries]) if by_uncertainty else set[str]()
            left = [entry for entry in entries if entry[1] not in labelled]
            records = zip(left, await self._read([sha256 for _, sha256 in left]), strict=True)
            found += [(entry, video) for entry, video in records if video and set(tags) <= set(video.tags)]
            if len(entries) < size:
                break
            before, size = entries[-1], max(size, _BATCH)  # most of the first ones do not fit
        following = write_cursor(found[limit - 1][0]) if len(found) > limit else None
        return [video for _, video in found[:limit]], following

    async def read_all(self, sha256s: Sequence[str]) -> dict[str, StoredVideo]:
        """Those that are stored, by id."""
        batches = [sha256s[start : start + _BATCH] for start in range(0, len(sha256s), _BATCH)]
        return {video.id: video for batch in batches for video in await self._read(batch) if video}

    async def stored_bytes(self) -> int:
        """Bytes of all videos of the project."""
        total, known = 0, cast(list[str], await self._redis.zrange(self._own.videos_created, 0, -1))
        for start in range(0, len(known), _BATCH):
            async with self._redis.pipeline(transaction=False) as pipe:
                for sha256 in known[start : start + _BATCH]:
                    pipe.hget(self._own.video(sha256), "bytes")
                total += sum(int(size or 0) for size in await pipe.execute())
        return total

    async def _labelled(self, sha256s: Sequence[str]) -> set[str]:
        """Those of which a person has said what they show as a whole."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                pipe.exists(self._own.feedback(feedback_id(sha256, None, None)))
            return {sha256 for sha256, known in zip(sha256s, await pipe.execute(), strict=True) if known}

    async def _read(self, sha256s: Sequence[str]) -> list[StoredVideo | None]:
        """None for those that were deleted meanwhile."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                pipe.hgetall(self._own.video(sha256))
                pipe.zscore(self._own.videos, sha256)
            answers = iter(await pipe.execute())
        pairs = zip(answers, answers, strict=True)
        return [from_fields(fields, after) if fields else None for fields, after in pairs]

    async def delete(self, video: str) -> None:
        """With everything that was made of it. Raises: UnknownVideo."""
        if not await self._removal.delete(await self._parse(video)):
            raise await self._unknown(video)

    async def drop(self, sha256: str) -> None:
        """Delete a video now if it may be deleted: it was released, or a worker found it unusable."""
        await self._removal.expire(sha256, before=time.time())

    async def sweep(self) -> int:
        """Delete the videos that may be deleted by now, and go on with removals. Returns how many there were."""
        await self._complete_list(
            keys=[self._own.videos, self._own.videos_created, self._own.videos_uncertain], args=[self._own.video("")]
        )
        removed = sum([await self._removal.expire(gone.sha256, before=gone.before) for gone in await self.over()])
        await self._removal.go_on()
        await self._removal.rewrite_log()
        return removed

    async def over(self) -> list[Gone]:
        """The videos that are to go: their time is over, or they are too much. None that an unfinished job needs."""
        now = time.time()
        due = cast(
            list[tuple[str, float]],
            await self._redis.zrangebyscore(self._own.videos, "-inf", "(inf", withscores=True),
        )
        expired = [sha256 for sha256, after in due if after <= now]
        if self._most_bytes is None:
            needed, sizes = await self._removal.needed(expired), await self._sizes(expired)
            return [Gone(each, sizes[each], now, "its time is over") for each in expired if each not in needed]
        needed = await self._removal.needed([sha256 for sha256, _ in due])
        sizes = await self._sizes(cast(list[str], await self._redis.zrange(self._own.videos, 0, -1)))
        excess, found = sum(sizes.values()) - self._most_bytes, list[Gone]()
        for sha256, after in due:
            if sha256 not in needed and (after <= now or excess > 0):
                why = "its time is over" if after <= now else "there are more bytes than VIREO_MAX_STORED_BYTES"
                found.append(Gone(sha256, sizes[sha256], now if after <= now else after, why))
                excess -= sizes[sha256]
        return found

    async def remove_remains(self, sha256: str) -> bool:
        """Remove bytes and vectors that have no record. False if they have one."""
        return await self._removal.remove_remains(sha256)

    async def _sizes(self, sha256s: Sequence[str]) -> dict[str, int]:
        """Bytes; 0 for a video that was deleted meanwhile."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                pipe.hget(self._own.video(sha256), "bytes")
            return {sha256: int(size or 0) for sha256, size in zip(sha256s, await pipe.execute(), strict=True)}

    async def _write_record(self, sha256: str, size: int, keep: bool) -> tuple[bool, float]:
        """Whether the video is new, and the time after which it may be deleted unless it is kept."""
        while True:
            now = time.time()
            script_keys, args = record_args(sha256, size, now, now + self._ttl, self._own, keep=keep)
            new = int(await self._record(keys=script_keys, args=args))
            if new >= 0:
                return bool(new), now + self._ttl
            await asyncio.sleep(DELETING_POLL)

    async def _parse(self, video: str) -> str:
        match = _ID.fullmatch(video)
        if not match:
            raise await self._unknown(video)
        return match[1]

    async def _unknown(self, video: str) -> UnknownVideo:
        known = cast(list[str], await self._redis.zrange(self._own.videos, 0, 999))
        return UnknownVideo(
            f"There is no video {video[:80]!r}.",
            hint="A video that is not kept is deleted VIREO_VIDEO_TTL seconds after its last use. Send it again.",
            nearest=similar_names(video, [video_id(sha256) for sha256 in known], 75),
        )
