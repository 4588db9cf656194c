"""The reaper gives a job to another worker when its own died, and sends its message again when that is lost.

Every worker runs a reaper. They do not disturb each other, because each step is atomic.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.logs.belonging import lines_about
from worker.jobs.book import JobBook

log = logging.getLogger(__name__)


class Reaper:
    def __init__(self, book: JobBook, send: Callable[[str], object]) -> None:
        """`send`: puts a job id on the queue again."""
        self._book = book
        self._send = send
        self._interval = min(3.0, book.lease / 4)  # seconds between two sweeps

    def sweep(self) -> None:
        """Raises: redis.RedisError."""
        for job_id, state in self._book.expire_leases().items():
            with lines_about(job_id):
                log.warning("the worker of %s died: the job is now %s", job_id, state)
        for job_id in self._book.lost_messages():
            with lines_about(job_id):
                self._send_again(job_id)

    def _send_again(self, job_id: str) -> None:
        log.info("%s is sent again", job_id)
        try:
            self._send(job_id)
        except Exception:
            log.exception("the message of %s could not be sent; it is sent again later", job_id)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._interval):
            try:
                self.sweep()
            except Exception:
                log.exception("the reaper's sweep failed; the next one follows")
