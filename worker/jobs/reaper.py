"""The reaper: jobs whose worker died, or whose message was lost, are sent again. Every worker runs
one; its steps are atomic.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker.jobs.book import JobBook

log = logging.getLogger(__name__)

INTERVAL = 3.0  # seconds
LOST_AFTER = 20.0  # seconds that a job may wait before its message is believed lost (if the broker has none)


class Reaper:
    def __init__(self, book: JobBook, send: Callable[[str], object]) -> None:
        """`send`: puts a job id on the queue again."""
        self._book = book
        self._send = send
        self._resent: dict[str, None] = {}

    def sweep(self) -> None:
        """Raises: redis.RedisError."""
        for job_id in self._book.requeue_orphans():
            log.warning("%s lost its worker: queued again", job_id)
            self._send(job_id)
        if self._book.broker_backlog() == 0:
            self._resend_lost()

    def _resend_lost(self) -> None:
        """A job that waits while the broker is empty is in a worker's hands, or its message is gone.

        Sending once more is harmless either way (`start` lets one through); once per job and worker is enough.
        """
        waiting = self._book.waiting_longer_than(LOST_AFTER)
        for job_id in waiting:
            if job_id not in self._resent:
                log.warning("%s waits without a message: sent again", job_id)
                self._send(job_id)
        self._resent = dict.fromkeys(waiting)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.wait(INTERVAL):
            try:
                self.sweep()
            except Exception:
                log.exception("the reaper's sweep failed; it tries again")
