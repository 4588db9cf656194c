"""The heartbeat: every two seconds, by default, a worker announces what it is doing and renews the leases of its jobs.

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
from core.state.workers import ANNOUNCE, announce_args
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs

log = logging.getLogger(__name__)


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
        self._announce_script = client.register_script(ANNOUNCE)
        self._lock = threading.Lock()
        self._interval = min(2.0, book.lease / 4)  # seconds between two beats
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def update(self, **changes: Any) -> None:
        """Change the announced facts and announce them at once. `changes`: fields of `WorkerInfo`."""
        with self._lock:
            self._info = self._info.model_copy(update=changes)
        self.beat()

    def beat(self) -> None:
        try:
            self._announce()
            self._running.observe(self._book.renew_leases(self._running.attempts))
        except redis.RedisError as error:
            log.warning("the heartbeat could not be written: %s", error)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=self._interval + 1)
        try:
            self._redis.zrem(keys.WORKERS, self._info.id)
            self._redis.delete(keys.worker(self._info.id))
        except redis.RedisError as error:
            log.warning("the heartbeat could not be removed: %s", error)

    def _announce(self) -> None:
        with self._lock:  # also while it is written, so that an older announcement never follows a newer one
            info = self._info.model_copy(update={"seen_at": time.time()})
            script_keys, args = announce_args(info)
            self._announce_script(keys=script_keys, args=args)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self.beat()
