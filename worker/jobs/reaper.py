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
    def __init__(self, book: JobBook, send: Callable[[str], object], died: str | None = None) -> None:
        """`send`: puts a job id on the queue again. `died`: a worker process that is known to be dead, so that its jobs
        need not wait for the end of their leases."""
        self._book = book
        self._send = send
        self._died = died
        self._begins = True
        self._interval = min(3.0, book.lease / 4)  # seconds between two sweeps

    def sweep(self) -> None:
        """Raises: redis.RedisError."""
        expired = self._book.expire_leases(self._died)
        self._died = None
        for job_id, state in expired.items():
            with lines_about(job_id):
                log.warning("the worker of %s died: the job is now %s", job_id, state)
        # A worker starts where another one died, perhaps with a message that it had just taken.
        lost = self._book.lost_messages(everything=self._begins)
        self._begins = False
        for job_id in lost:
            with lines_about(job_id):
                self._send_again(job_id)

    def _send_again(self, job_id: str) -> None:
        log.info("%s is sent again", job_id)
        try:
            self._send(job_id)
        except Exception:
            log.exception("the message of %s could not be sent; it is sent again later", job_id)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self.sweep()
            except Exception:
                log.exception("the reaper's sweep failed; the next one follows")
            stopped.wait(self._interval)
