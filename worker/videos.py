"""What a worker learns about a stored video, written into its record: size, length, codec."""

from __future__ import annotations

import logging

import redis

from core import videos
from core.records import VideoFacts

log = logging.getLogger(__name__)


class VideoBook:
    def __init__(self, client: redis.Redis) -> None:
        self._set_facts = client.register_script(videos.SET_FACTS)

    def note(self, sha256: str, facts: VideoFacts) -> None:
        """For whoever asks about the video later; a Redis that is away loses no answer."""
        script_keys, args = videos.facts_args(sha256, facts)
        try:
            self._set_facts(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("facts not written: %s", error)
