from __future__ import annotations

import asyncio

import pytest

from service import background


def test_a_task_ends_although_a_cancellation_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[bool] = []

    async def live_through_an_outage() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(True)

    async def fail() -> None:
        raise OSError("the disk is full")

    async def end_them() -> list[bool]:
        tasks = [asyncio.create_task(live_through_an_outage()), asyncio.create_task(fail())]
        await asyncio.sleep(0)
        await background.end(*tasks, None)
        return [task.done() for task in tasks]

    monkeypatch.setattr(background, "ASK_AGAIN", 0.01)
    assert asyncio.run(end_them()) == [True, True]
    assert lost
