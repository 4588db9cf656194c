"""Waiting, and finishing what an interruption must not stop."""

from __future__ import annotations

from contextlib import AbstractContextManager

import anyio


async def sleep(seconds: float) -> None:
    """Let other tasks run for a while."""
    await anyio.sleep(seconds)


def shielded(seconds: float) -> AbstractContextManager[object]:
    """A block that a cancelled task still carries out, for at most so many seconds."""
    return anyio.move_on_after(seconds, shield=True)
