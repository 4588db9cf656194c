"""What a worker learns about a stored video, written into the video's record: size, length, codec."""

from __future__ import annotations

import logging
import time

import redis

from core.records import VideoFacts
from core.state import video_records

log = logging.getLogger(__name__)


class VideoBook:
    """A Redis that does not answer loses the facts, but never an answer to a request."""

    def __init__(self, client: redis.Redis) -> None:
        self._set_facts = client.register_script(video_records.SET_FACTS)
        self._expire = client.register_script(video_records.EXPIRE_UNLESS_KEPT)

    def set_facts(self, sha256: str, facts: VideoFacts) -> None:
        script_keys, args = video_records.facts_args(sha256, facts)
        try:
            self._set_facts(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("facts of %s not written: %s", sha256, error)

    def expire(self, sha256: str) -> None:
        """Let a video that cannot be decoded, or is too large, be deleted now, unless a request keeps it."""
        script_keys, args = video_records.expire_args(sha256, time.time())
        try:
            self._expire(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("%s not expired: %s", sha256, error)
