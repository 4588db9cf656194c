"""The heartbeat: every two seconds a worker announces what it is doing and renews the leases of its jobs.

It starts before torch is imported and before a model is loaded, so that the gateway can tell users what it waits for.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from typing import Any

import redis

from core.records import WorkerInfo
from core.state import keys
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0  # between two beats
HEARTBEAT_LIFETIME = 10  # seconds after which a silent worker counts as gone


class Heartbeat:
    def __init__(self, client: redis.Redis, book: JobBook, running: RunningJobs) -> None:
        now = time.time()
        self._redis = client
        self._book = book
        self._running = running
        self._info = WorkerInfo(
            id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            queue=book.queue,
            state="starting",
            detail="starting",
            started_at=now,
            seen_at=now,
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def update(self, **changes: Any) -> None:
        """Change the announced facts and announce them at once. `changes`: fields of `WorkerInfo`."""
        self._info = self._info.model_copy(update=changes)
        self.beat()

    def beat(self) -> None:
        try:
            self._announce()
            self._book.renew_leases(self._running.ids)
        except redis.RedisError as error:
            log.warning("the heartbeat could not be written: %s", error)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=HEARTBEAT_SECONDS + 1)
        try:
            self._redis.zrem(keys.WORKERS, self._info.id)
            self._redis.delete(keys.worker(self._info.id))
        except redis.RedisError as error:
            log.warning("the heartbeat could not be removed: %s", error)

    def _announce(self) -> None:
        info = self._info.model_copy(update={"seen_at": time.time()})
        pipe = self._redis.pipeline()
        pipe.set(keys.worker(info.id), info.model_dump_json(), ex=HEARTBEAT_LIFETIME)
        pipe.zadd(keys.WORKERS, {info.id: info.seen_at})
        pipe.zremrangebyscore(keys.WORKERS, "-inf", info.seen_at - 10 * HEARTBEAT_LIFETIME)
        pipe.execute()

    def _run(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            self.beat()
