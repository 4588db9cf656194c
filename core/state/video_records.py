"""The record of a stored video in Redis: a hash, so that gateway and worker can each write their own fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from core.records import SCHEMA, LastAnswer, StoredVideo, VideoFacts
from core.state.project_keys import ProjectKeys

# KEYS: video, VIDEOS, deleting, VIDEOS_CREATED    ARGV: sha256, bytes, now, kept, deletable after
# → 1 new, 0 known, -1 deleting
RECORD = """
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local new = redis.call('HSETNX', KEYS[1], 'sha256', ARGV[1])
if new == 1 then
  redis.call('HSET', KEYS[1], 'bytes', ARGV[2], 'created_at', ARGV[3], 'kept', '0', 'schema', 'SCHEMA')
  redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
end
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'kept', '1') end
if redis.call('HGET', KEYS[1], 'kept') == '1' then
  redis.call('ZADD', KEYS[2], '+inf', ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
end
return new
""".replace("SCHEMA", str(SCHEMA))

# KEYS: video    ARGV: sha256, tags as JSON or '', metadata as JSON or '', key prefix of tags    → 1, or 0 if it is gone
# What is '' stays as it is.
DESCRIBE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[2] ~= '' then
  for _, tag in ipairs(cjson.decode(redis.call('HGET', KEYS[1], 'tags') or '[]')) do
    redis.call('ZREM', ARGV[4] .. tag, ARGV[1])
  end
  local created = redis.call('HGET', KEYS[1], 'created_at')
  for _, tag in ipairs(cjson.decode(ARGV[2])) do redis.call('ZADD', ARGV[4] .. tag, created, ARGV[1]) end
  redis.call('HSET', KEYS[1], 'tags', ARGV[2])
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'metadata', ARGV[3]) end
return 1
"""

DELETING_POLL = 0.05
"""Seconds between two attempts to record a video whose bytes are being deleted, which is rare and short."""

# KEYS: video    ARGV: facts as JSON    → 1, or 0 where the video has been deleted meanwhile
SET_FACTS = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'facts', ARGV[1])
return 1
"""

# KEYS: video, VIDEOS_UNCERTAIN    ARGV: sha256, answer as JSON, its uncertainty, facts as JSON or ''
# → 1, or 0 where the video is gone
SET_ANSWER = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'facts', ARGV[4]) end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
"""

# KEYS: video, VIDEOS    ARGV: sha256, now    An unusable video may be deleted at once, unless a request keeps it.
EXPIRE_UNLESS_KEPT = """
if redis.call('HGET', KEYS[1], 'kept') == '0' then redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1]) end
"""

DEFAULT: Final = ProjectKeys()


def record_keys(sha256: str, own: ProjectKeys = DEFAULT) -> list[str]:
    return [own.video(sha256), own.videos, own.video_deleting(sha256), own.videos_created]


def record_args(
    sha256: str, size: int, now: float, deletable_after: float, own: ProjectKeys = DEFAULT, *, keep: bool = False
) -> tuple[list[str], list[str]]:
    """`size` in bytes."""
    return record_keys(sha256, own), [sha256, str(size), str(now), "1" if keep else "0", str(deletable_after)]


def expire_args(sha256: str, now: float, own: ProjectKeys = DEFAULT) -> tuple[list[str], list[str]]:
    return [own.video(sha256), own.videos], [sha256, str(now)]


def facts_args(sha256: str, facts: VideoFacts, own: ProjectKeys = DEFAULT) -> tuple[list[str], list[str]]:
    return [own.video(sha256)], [facts.model_dump_json()]


def answer_args(
    sha256: str, answer: LastAnswer, own: ProjectKeys = DEFAULT, facts: VideoFacts | None = None
) -> tuple[list[str], list[str]]:
    """facts: written with it, in one round trip; None: what is there stays."""
    known = facts.model_dump_json() if facts else ""
    arguments = [sha256, answer.model_dump_json(), repr(answer.uncertainty), known]
    return [own.video(sha256), own.videos_uncertain], arguments


def describe_args(
    sha256: str, tags: Sequence[str] | None, metadata: Mapping[str, str] | None, own: ProjectKeys = DEFAULT
) -> tuple[list[str], list[str]]:
    """None: what it has stays."""
    given = ("" if tags is None else json.dumps(list(tags)), "" if metadata is None else json.dumps(dict(metadata)))
    return [own.video(sha256)], [sha256, *given, own.video_tag("")]


def from_fields(fields: dict[str, str], deletable_after: float | None) -> StoredVideo:
    """`deletable_after`: the video's score in `ProjectKeys.videos`."""
    kept = fields["kept"] == "1"
    expires = None if kept or deletable_after is None or math.isinf(deletable_after) else deletable_after
    return StoredVideo(
        sha256=fields["sha256"],
        bytes=int(fields["bytes"]),
        kept=kept,
        created_at=float(fields["created_at"]),
        expires_at=expires,
        facts=VideoFacts.model_validate(json.loads(fields["facts"])) if "facts" in fields else None,
        tags=tuple(json.loads(fields.get("tags", "[]"))),
        metadata=json.loads(fields.get("metadata", "{}")),
        answer=LastAnswer.model_validate_json(fields["answer"]) if "answer" in fields else None,
    )
