"""Turns at the event loop, for work that many requests may have at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

PASSES: Final = 4
"""Passes of the event loop from one turn to the next. A request on a new connection takes about five."""


class Turns:
    """One of those who wait goes on, then the event loop passes a few times over all else that is ready. So a health
    check waits for one or two of them, and not for all."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False  # in one of the last passes

    async def next(self) -> None:
        """Who is alone does not wait."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._pass, PASSES - 1)

    def _pass(self, left: int) -> None:
        """`left`: passes until the next turn."""
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._pass, left - 1)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                loop.call_soon(self._pass, PASSES - 1)
                return
        self._taken = False
