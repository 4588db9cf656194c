"""The records of stored videos, as a worker reads and writes them: which there are, a video that it has fetched, what
it learns about one."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from copy import copy
from typing import cast

import redis

from core.errors import StorageUnavailable
from core.records import LastAnswer, StoredVideo, VideoFacts
from core.state import video_records
from core.state.fullness import is_refusal, redis_full
from core.state.project_keys import ProjectKeys
from core.storage import Staged, Store, blob_key

log = logging.getLogger(__name__)


class VideoBook:
    """A Redis that does not answer loses the facts, but never an answer to a request about a stored video."""

    def __init__(self, client: redis.Redis, store: Store, ttl: float) -> None:
        """`ttl`: seconds after its last use that a video stays."""
        self._redis = client
        self._store = store
        self._own = ProjectKeys(store.project)
        self._ttl = ttl
        self._record = client.register_script(video_records.RECORD)
        self._set_facts = client.register_script(video_records.SET_FACTS)
        self._set_answer = client.register_script(video_records.SET_ANSWER)
        self._expire = client.register_script(video_records.EXPIRE_UNLESS_KEPT)

    def of(self, project: str) -> VideoBook:
        """The records of a project's videos."""
        view = copy(self)
        view._store = self._store.of(project)
        view._own = ProjectKeys(project)
        return view

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
            script_keys, args = video_records.record_args(sha256, size, now, now + self._ttl, self._own)
            try:
                if int(self._record(keys=script_keys, args=args)) >= 0:
                    return
            except redis.ResponseError as error:
                if not is_refusal(error):
                    raise
                raise redis_full() from error
            time.sleep(video_records.DELETING_POLL)

    def stored(self, tags: Sequence[str] = ()) -> dict[str, float]:
        """The videos with all `tags` by sha256, the newest first, with the time at which they were stored. Raises:
        redis.RedisError."""
        names = [self._own.video_tag(tag) for tag in tags] or [self._own.videos_created]
        lists = [cast(list[tuple[str, float]], self._redis.zrevrange(name, 0, -1, withscores=True)) for name in names]
        others = [{sha256 for sha256, _ in entries} for entries in lists[1:]]
        return {sha256: created for sha256, created in lists[0] if all(sha256 in other for other in others)}

    def is_stored(self, project: str, sha256: str) -> bool:
        """Whether a project has a record of the video. False while Redis does not answer: what is not known is not
        kept."""
        try:
            return bool(self._redis.exists(ProjectKeys(project).video(sha256)))
        except redis.RedisError as error:
            log.warning("whether %s is stored is not known: %s", sha256, error)
            return False

    def records(self, sha256s: Sequence[str]) -> list[StoredVideo | None]:
        """None for a video that was deleted meanwhile. Raises: redis.RedisError."""
        pipe = self._redis.pipeline(transaction=False)
        for sha256 in sha256s:
            pipe.hgetall(self._own.video(sha256))
        return [video_records.from_fields(fields, None) if fields else None for fields in pipe.execute()]

    def set_facts(self, sha256: str, facts: VideoFacts) -> None:
        script_keys, args = video_records.facts_args(sha256, facts, self._own)
        try:
            self._set_facts(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("facts of %s not written: %s", sha256, error)

    def set_answer(self, sha256: str, answer: LastAnswer, facts: VideoFacts) -> None:
        script_keys, args = video_records.answer_args(sha256, answer, self._own, facts)
        try:
            self._set_answer(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("the answer about %s is not noted: %s", sha256, error)

    def expire(self, sha256: str) -> None:
        """Let a video that cannot be decoded, or is too large, be deleted now, unless a request keeps it."""
        script_keys, args = video_records.expire_args(sha256, time.time(), self._own)
        try:
            self._expire(keys=script_keys, args=args)
        except redis.RedisError as error:
            log.warning("%s not expired: %s", sha256, error)
