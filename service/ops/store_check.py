"""Whether the store works, for `/readyz`: one check at a time, however many probes ask."""

from __future__ import annotations

import asyncio

from core.storage import Store
from core.storage.identity import store_id


class StoreCheck:
    """A store that does not answer holds one thread, not one for each probe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: asyncio.Future[str] | None = None

    async def result(self) -> str:
        """The id of the store, once a file was written, read and deleted. The caller sets the time limit. Raises:
        StorageUnavailable."""
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(asyncio.to_thread(self._check))
            self._running.add_done_callback(_retrieve)
        return await asyncio.shield(self._running)

    def _check(self) -> str:
        self._store.check()
        return store_id(self._store)


def _retrieve(check: asyncio.Future[str]) -> None:
    """Nobody may be waiting any more. An exception that nobody asks for would be logged as a fault."""
    if not check.cancelled():
        check.exception()
