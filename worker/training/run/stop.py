"""A wish to stop, told by SIGTERM and looked at where stopping is safe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class Stopped(Exception):
    """Somebody asked this process to stop."""


class Stop:
    def __init__(self) -> None:
        self.asked = False
        self._ends: list[Callable[[], object]] = []

    def listen(self) -> None:
        """In the main thread."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches everybody; the supervisor decides

    def ends(self, wait: Callable[[], object]) -> None:
        """`wait` is called, in a thread of its own, when stopping is asked for: it ends what the main thread may be
        waiting in."""
        self._ends.append(wait)

    def check(self) -> None:
        """Raises: Stopped."""
        if self.asked:
            raise Stopped

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        for end in self._ends:  # not here: the main thread may hold the very lock that it needs
            threading.Thread(target=end, daemon=True).start()
