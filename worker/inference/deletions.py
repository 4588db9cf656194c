"""Hears of deleted videos, and drops what this process has of them in its memory.

A message may be lost while the connection is away. So whenever it is opened, every video in memory is looked up.
"""

from __future__ import annotations

import threading

import redis

from core.projects import split_name
from core.state import keys
from worker.inference.caches.features import VideoCache
from worker.inference.caches.windows import WindowIndexes
from worker.inference.videos.facts import VideoBook

_LOOK = 0.5  # seconds between two looks whether the worker stops
_PAUSE = 1.0  # seconds until a lost connection is opened again


class Deletions:
    def __init__(self, client: redis.Redis, book: VideoBook, videos: VideoCache, indexes: WindowIndexes) -> None:
        self._redis, self._book, self._videos, self._indexes = client, book, videos, indexes
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="deletions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(2 * _LOOK)

    def check(self) -> None:
        """Forget every video that is not stored."""
        self._indexes.clear()
        for project, sha256 in self._videos.remembered():
            if not self._book.is_stored(project, sha256):
                self._forget(project, sha256)

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(keys.DELETED_CHANNEL)
                    self.check()
                    while not self._stopped.is_set():
                        if message := channel.get_message(timeout=_LOOK):
                            self._forget(*split_name(message["data"]))
            except redis.RedisError:
                self._stopped.wait(_PAUSE)

    def _forget(self, project: str, sha256: str) -> None:
        self._videos.of(project).delete(sha256)  # also from a cache that only the workers know
        self._indexes.forget(sha256)
