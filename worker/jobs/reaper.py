"""The reaper sends a job again when its worker died or its message was lost.

Every worker runs a reaper. They do not disturb each other, because each step is atomic.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker.jobs.book import JobBook

log = logging.getLogger(__name__)

REAPER_SECONDS = 3.0  # between two sweeps
LOST_AFTER = 20.0  # seconds: a job that waits longer while the broker has no message has lost its message


class Reaper:
    def __init__(self, book: JobBook, send: Callable[[str], object]) -> None:
        """`send`: puts a job id on the queue again."""
        self._book = book
        self._send = send
        self._sent_again: dict[str, None] = {}

    def sweep(self) -> None:
        """Raises: redis.RedisError."""
        for job_id in self._book.requeue_orphans():
            log.warning("the worker of %s died: the job is queued again", job_id)
            self._send(job_id)
        if self._book.broker_backlog() == 0:
            self._resend_lost()

    def _resend_lost(self) -> None:
        """A job that waits while the broker is empty was fetched by a worker, or its message is lost.

        Sending it again is harmless in both cases, because `JobBook.start` admits one worker. Each worker sends each
        job again once.
        """
        waiting = self._book.waiting_longer_than(LOST_AFTER)
        for job_id in waiting:
            if job_id not in self._sent_again:
                log.warning("the message of %s is lost: it is sent again", job_id)
                self._send(job_id)
        self._sent_again = dict.fromkeys(waiting)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.wait(REAPER_SECONDS):
            try:
                self.sweep()
            except Exception:
                log.exception("the reaper's sweep failed; the next one follows")
