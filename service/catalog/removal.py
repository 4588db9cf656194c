"""Removing a video with everything that was made of it.

The record goes first, and in the same step the video is noted in `videos_leaving`. It stays there until nothing
mentions the video any more, so a removal that was interrupted is continued by the sweeper of any gateway. Until the
bytes are gone, the mark `video_deleting` stands, and an upload of the same video waits.

A video whose time is over loses its bytes and its vectors; answers about it stay for their own time. One that somebody
deletes also loses the feedback about it and every job that mentions it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.projects import prefix_of
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.state.video_records import record_keys
from core.storage import Store, blob_key
from service.jobs.mentions import Mentions

log = logging.getLogger(__name__)

_DELETING_SECONDS: Final = 60  # lifetime of the mark, in case the process dies before it removes the mark

# KEYS: video, VIDEOS, deleting, VIDEOS_CREATED, VIDEOS_UNCERTAIN, VIDEOS_LEAVING
# ARGV: sha256, remove only if it may be by this time, seconds of the mark, key prefix of tags, 1 if it is deleted
# → 1 if the video is to be removed now
_BEGIN = """
local after = redis.call('ZSCORE', KEYS[2], ARGV[1])
if after and tonumber(after) > tonumber(ARGV[2]) then return 0 end
for _, tag in ipairs(cjson.decode(redis.call('HGET', KEYS[1], 'tags') or '[]')) do
  redis.call('ZREM', ARGV[4] .. tag, ARGV[1])
end
if redis.call('DEL', KEYS[1]) == 0 and not after then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('SET', KEYS[3], '1', 'EX', ARGV[3])
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[6], 'GT', ARGV[5] == '1' and clock[1] + 1 or 0, ARGV[1])
return 1
"""

# KEYS: video, deleting    ARGV: seconds of the mark    → 1 if there is no such video, and the mark stands
_BEGIN_AGAIN = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
return 1
"""

# KEYS: VIDEOS_LEAVING, REWRITE    ARGV: sha256, its score    Unless the video was removed again meanwhile.
_END = """
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted and tonumber(noted) <= tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[2], '1')
end
"""

# KEYS: list of the video, FEEDBACK    ARGV: key prefix of feedback, key prefix of labels
_FORGET_FEEDBACK = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local feedback = ARGV[1] .. id
  local label = redis.call('HGET', feedback, 'label')
  if label then redis.call('ZREM', ARGV[2] .. label, id) end
  redis.call('DEL', feedback, feedback .. ':history')
  redis.call('ZREM', KEYS[2], id)
end
redis.call('DEL', KEYS[1])
"""


class Removal:
    """Of the videos of one project. Raises RedisError while Redis cannot be reached, StorageUnavailable while the store
    cannot; the sweeper then goes on."""

    def __init__(self, redis: Redis, cache: Redis, store: Store, mentions: Mentions) -> None:
        """`cache`: the Redis of the caches."""
        self._redis, self._cache, self._store, self._mentions = redis, cache, store, mentions
        self._own = ProjectKeys(store.project)
        self._begin = redis.register_script(_BEGIN)
        self._begin_again = redis.register_script(_BEGIN_AGAIN)
        self._end = redis.register_script(_END)
        self._forget_feedback = redis.register_script(_FORGET_FEEDBACK)

    async def delete(self, sha256: str) -> bool:
        """Delete a video, kept or not, with everything about it. False if there is no such video."""
        return await self._remove(sha256, math.inf, deleted=True)

    async def expire(self, sha256: str, before: float) -> bool:
        """Remove a video if its time is over `before` this unix time. False if it is not, or if there is none."""
        return await self._remove(sha256, before, deleted=False)

    async def go_on(self) -> int:
        """Continue what was interrupted or had to wait for a job. Returns how many videos are still leaving."""
        for sha256 in cast(list[str], await self._redis.zrange(self._own.videos_leaving, 0, -1)):
            again = [self._own.video(sha256), self._own.video_deleting(sha256)]
            if await self._begin_again(keys=again, args=[str(_DELETING_SECONDS)]):
                await self._clear(sha256)
            await self._finish(sha256)
        return int(await self._redis.zcard(self._own.videos_leaving))

    async def needed(self, sha256s: list[str]) -> set[str]:
        """Those that a job needs which has not ended."""
        return await self._mentions.needed(sha256s)

    async def remove_remains(self, sha256: str) -> bool:
        """Remove bytes and vectors that have no record. False if they have one."""
        again = [self._own.video(sha256), self._own.video_deleting(sha256)]
        if not await self._begin_again(keys=again, args=[str(_DELETING_SECONDS)]):
            return False
        await self._clear(sha256)
        return True

    async def rewrite_log(self) -> bool:
        """Have Redis write its append-only file anew, without the commands that name videos which have been removed.
        Returns whether it does."""
        if not await self._redis.delete(keys.REWRITE):
            return False
        if not (await self._redis.info("persistence")).get("aof_enabled"):
            return False
        try:
            await self._redis.bgrewriteaof()
        except ResponseError as error:  # one runs already, which may have begun too early; or it is not allowed
            log.warning("Redis does not write its append-only file anew: %s", error)
            await self._redis.set(keys.REWRITE, "1")
            return False
        return True

    async def _remove(self, sha256: str, before: float, *, deleted: bool) -> bool:
        script_keys = [*record_keys(sha256, self._own), self._own.videos_uncertain, self._own.videos_leaving]
        args = [sha256, str(before), str(_DELETING_SECONDS), self._own.video_tag(""), "1" if deleted else "0"]
        if not await self._begin(keys=script_keys, args=args):
            return False
        await self._clear(sha256)
        await self._finish(sha256)
        return True

    async def _clear(self, sha256: str) -> None:
        """The bytes, the vectors and the feedback. Uploads of the same video wait meanwhile."""
        await asyncio.to_thread(self._store.delete, blob_key(sha256))
        name = prefix_of(self._own.project) + sha256
        await self._cache.unlink(keys.cached_vectors(name))
        await self._redis.publish(keys.DELETED_CHANNEL, name)
        if await self._redis.zscore(self._own.videos_leaving, sha256):
            lists = [self._own.feedback_of_video(sha256), self._own.all_feedback]
            await self._forget_feedback(keys=lists, args=[self._own.feedback(""), self._own.feedback_of_label("")])
        await self._redis.delete(self._own.video_deleting(sha256))

    async def _finish(self, sha256: str) -> None:
        """The jobs, as far as they have ended."""
        until = await self._redis.zscore(self._own.videos_leaving, sha256)
        if until is None or (until and not await self._mentions.delete(sha256, until)):
            return
        await self._end(keys=[self._own.videos_leaving, keys.REWRITE], args=[sha256, repr(until)])
