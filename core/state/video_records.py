"""The record of a stored video in Redis: a hash, so that gateway and worker can each write their own fields."""

from __future__ import annotations

import json
import math

from core.records import StoredVideo, VideoFacts
from core.state import keys

# KEYS: video    ARGV: facts as JSON    → 1, or 0 where the video has been deleted meanwhile
SET_FACTS = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'facts', ARGV[1])
return 1
"""

# KEYS: video, VIDEOS    ARGV: sha256, now    A video that nobody asked to keep and nobody can use may go at once.
FORFEIT = """
if redis.call('HGET', KEYS[1], 'kept') == '0' then redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1]) end
"""


def forfeit_args(sha256: str, now: float) -> tuple[list[str], list[str]]:
    return [keys.video(sha256), keys.VIDEOS], [sha256, str(now)]


def facts_args(sha256: str, facts: VideoFacts) -> tuple[list[str], list[str]]:
    return [keys.video(sha256)], [facts.model_dump_json()]


def from_fields(fields: dict[str, str], deletable_after: float | None) -> StoredVideo:
    """`deletable_after`: the video's score in `keys.VIDEOS`."""
    kept = fields["kept"] == "1"
    expires = None if kept or deletable_after is None or math.isinf(deletable_after) else deletable_after
    return StoredVideo(
        sha256=fields["sha256"],
        bytes=int(fields["bytes"]),
        kept=kept,
        created_at=float(fields["created_at"]),
        expires_at=expires,
        facts=VideoFacts.model_validate(json.loads(fields["facts"])) if "facts" in fields else None,
    )
