"""Patience with a store that fails for a while: what it refuses is tried again within the same attempt.

A full disk has room soon, because somebody deletes something, and to do the whole job again would cost more.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from core.errors import StorageUnavailable
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter

log = logging.getLogger(__name__)

PATIENCE: Final = 600.0
"""Seconds from the first refusal after which the error counts."""
FIRST_PAUSE: Final = 1.0  # seconds until the next try; it doubles
LONGEST_PAUSE: Final = 30.0

T = TypeVar("T")


def patiently(work: Callable[[], T], token: CancelToken, reporter: Reporter, *, hint: str) -> T:
    """The result of `work`, which can be repeated and is called until the store takes what it writes.

    `hint`: says what to do if the store does not for `PATIENCE` seconds. Raises: that StorageUnavailable; Cancelled,
    Superseded, and what `work` raises.
    """
    ends = None
    for number in itertools.count():
        try:
            return work()
        except StorageUnavailable as error:
            job_id, now = reporter.attempt.job_id, time.monotonic()
            ends = ends or now + PATIENCE
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**number)
            if now + pause > ends:
                raise StorageUnavailable(error.message, hint=hint, **error.details) from error
            message = f"The store failed, and is tried again for {ends - now:.0f} s: {error.message}"
            log.warning("%s: %s", job_id, message)
            reporter.event("log", {"message": message})
        _wait(pause, token)
    raise AssertionError


def _wait(seconds: float, token: CancelToken) -> None:
    """Raises: Cancelled, at once."""
    awake = threading.Event()
    with token.on_cancel(awake.set):
        awake.wait(seconds)
