from __future__ import annotations

import asyncio
import threading

import pytest

from core.storage import threads


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_call_ends_before_its_caller_does(fails: bool) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        go_on.wait(20)
        ended.set()
        if fails:
            raise OSError("the disk is full")

    async def cancel_twice() -> None:
        calling = asyncio.create_task(threads.call(write))
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(2):
            calling.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not calling.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert ended.is_set()

    asyncio.run(cancel_twice())


def test_a_call_returns_and_raises_what_its_function_does() -> None:
    assert asyncio.run(threads.call(int, "7", base=8)) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(threads.call(int, "x"))
