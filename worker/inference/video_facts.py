"""What a worker learns about a stored video, written into its record: size, length, codec."""

from __future__ import annotations

import logging
import time

import redis

from core.records import VideoFacts
from core.state import video_records

log = logging.getLogger(__name__)


class VideoBook:
    def __init__(self, client: redis.Redis) -> None:
        self._set_facts = client.register_script(video_records.SET_FACTS)
        self._forfeit = client.register_script(video_records.FORFEIT)

    def note(self, sha256: str, facts: VideoFacts) -> None:
        """For whoever asks about the video later; a Redis that is away loses no answer."""
        script_keys, args = video_records.facts_args(sha256, facts)
        try:
            self._set_facts(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("facts not written: %s", error)

    def forfeit(self, sha256: str) -> None:
        """It cannot be decoded, or may not be: unless somebody keeps it, its bytes need not wait for their time."""
        script_keys, args = video_records.forfeit_args(sha256, time.time())
        try:
            self._forfeit(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("%s not forfeited: %s", sha256, error)
