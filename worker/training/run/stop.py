"""A request to stop: SIGTERM sets it, and the run checks it where stopping is safe."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType


class Stopped(Exception):
    """This process was asked to stop."""


class Stop:
    def __init__(self) -> None:
        self.requested = False
        self._callbacks: list[Callable[[], object]] = []

    def install(self) -> None:
        """Must be called in the main thread."""
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all processes; the worker decides

    def on_request(self, callback: Callable[[], object]) -> None:
        """`callback` runs in a thread of its own once a stop is requested. It ends what the main thread may be waiting
        for."""
        self._callbacks.append(callback)

    def wait(self, seconds: float) -> bool:
        """Whether a stop is requested, now or within `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.requested and time.monotonic() < deadline:
            time.sleep(0.05)  # in the main thread, which runs the signal's handler
        return self.requested

    def check(self) -> None:
        """Raises: Stopped."""
        if self.requested:
            raise Stopped

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        for callback in self._callbacks:  # not in this thread: it may hold the very lock that the callback needs
            threading.Thread(target=callback, daemon=True).start()
