"""What protects the worker from one attempt, and an attempt from the device: a deadline, and words for its failures.

A device error that every later call would meet as well ends the process: its jobs go back into the queue, and the
supervisor starts a new one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from core.errors import Cancelled, DeadlineExceeded
from worker.inference.batching.device import is_broken, is_out_of_memory, out_of_memory
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken, StopReason

log = logging.getLogger(__name__)

T = TypeVar("T")


class Guard:
    def __init__(self, deadline: float, leave: Callable[[str], None]) -> None:
        """deadline: of one attempt, in seconds; leave: ends this process, for the reason in words."""
        self._deadline = deadline
        self._leave = leave
        self._lock = threading.Lock()
        self._leaving = threading.Event()

    def run(self, token: CancelToken, answer: Callable[[], T]) -> T:
        """Raises: DeadlineExceeded, ModelUnavailable (out of memory), Interrupted (the device failed), and what
        `answer` raises."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            token.cancel()

        timer = threading.Timer(self._deadline, expire)
        timer.daemon = True
        timer.start()
        try:
            return answer()
        except Cancelled:
            if expired.is_set() and token.reason is StopReason.CANCELLED:
                raise self._too_slow() from None
            raise
        except Exception as error:
            if is_broken(error):
                self._leave_once(error)
                raise Interrupted(f"the device failed: {error}") from error
            if is_out_of_memory(error):
                raise out_of_memory() from error
            raise
        finally:
            timer.cancel()

    def _too_slow(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The answer took longer than {self._deadline:g} s.",
            hint="Ask for fewer labels, templates, frames or views, for a timeline with a longer stride, or raise "
            "VIREO_INFERENCE_DEADLINE.",
            limit=self._deadline,
        )

    def _leave_once(self, error: Exception) -> None:
        with self._lock:
            first = not self._leaving.is_set()
            self._leaving.set()
        if first:
            log.error("the device failed; this worker gives its jobs back and ends", exc_info=error)
            self._leave(f"the device failed: {str(error).splitlines()[0]}")
