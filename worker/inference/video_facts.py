"""The records of stored videos, as a worker writes them: a video that it has fetched, and what it learns about one."""

from __future__ import annotations

import logging
import time

import redis

from core.errors import StorageUnavailable
from core.records import VideoFacts
from core.state import video_records
from core.state.fullness import is_refusal, redis_full
from core.storage import Staged, Store, blob_key

log = logging.getLogger(__name__)


class VideoBook:
    """A Redis that does not answer loses the facts, but never an answer to a request about a stored video."""

    def __init__(self, client: redis.Redis, store: Store, ttl: float) -> None:
        """`ttl`: seconds after its last use that a video stays."""
        self._store = store
        self._ttl = ttl
        self._record = client.register_script(video_records.RECORD)
        self._set_facts = client.register_script(video_records.SET_FACTS)
        self._expire = client.register_script(video_records.EXPIRE_UNLESS_KEPT)

    def add(self, staged: Staged) -> str:
        """Store a fetched video like an uploaded one: first the record, then the bytes. Returns its sha256.

        Raises: StorageUnavailable, redis.RedisError.
        """
        sha256 = staged.sha256
        self._write_record(sha256, staged.size)
        try:
            self._store.publish(staged, blob_key(sha256))
        except StorageUnavailable:
            self.expire(sha256)
            raise
        return sha256

    def _write_record(self, sha256: str, size: int) -> None:
        while True:
            now = time.time()
            script_keys, args = video_records.record_args(sha256, size, now, now + self._ttl)
            try:
                if int(self._record(keys=script_keys, args=args)) >= 0:
                    return
            except redis.ResponseError as error:
                if not is_refusal(error):
                    raise
                raise redis_full() from error
            time.sleep(video_records.DELETING_POLL)

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
