from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from core.errors import StorageUnavailable
from core.storage import Store
from core.storage.identity import store_id
from service.ops.store_check import StoreCheck


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


def test_many_probes_of_a_slow_store_hold_one_thread(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[int] = []
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        checks.append(1)
        began.set()
        assert go_on.wait(20)

    async def probe() -> list[str]:
        check = StoreCheck(store)
        probes = [asyncio.ensure_future(check.result()) for _ in range(10)]
        assert await asyncio.to_thread(began.wait, 20)
        await asyncio.sleep(0)
        go_on.set()
        first = await asyncio.gather(*probes)
        return [*first, await check.result()]

    monkeypatch.setattr(store, "check", slow)
    assert set(asyncio.run(probe())) == {store_id(store)}
    assert len(checks) == 2, "one for all that came together, and one afterwards"


def test_a_store_that_fails_is_looked_at_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [StorageUnavailable("away"), None]

    def check() -> None:
        if outcome := outcomes.pop(0):
            raise outcome

    async def probe() -> str:
        checking = StoreCheck(store)
        with pytest.raises(StorageUnavailable):
            await checking.result()
        return await checking.result()

    monkeypatch.setattr(store, "check", check)
    assert asyncio.run(probe()) == store_id(store)
