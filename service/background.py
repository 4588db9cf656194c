"""Background tasks of a gateway, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

ASK_AGAIN = 1.0  # seconds


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks until they have ended, whatever with. One cancellation can be lost: in rare moments the Redis client
    turns it into an error of its own, and a task that lives through outages goes on."""
    running = [task for task in tasks if task is not None]
    while waiting := [task for task in running if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=ASK_AGAIN)
    await asyncio.gather(*running, return_exceptions=True)
