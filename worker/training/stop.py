"""A wish to stop, told by SIGTERM and looked at where stopping is safe."""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(Exception):
    """Somebody asked this process to stop."""


class Stop:
    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """In the main thread."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches everybody; the supervisor decides

    def check(self) -> None:
        """Raises: Stopped."""
        if self.asked:
            raise Stopped

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
