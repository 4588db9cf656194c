"""How much of the store a project uses, for the quota of its keys."""

from __future__ import annotations

import time

from service.catalog.datasets import Datasets
from service.catalog.videos import Videos

_REMEMBERED = 5.0  # seconds: a sum goes through all records


class Usage:
    def __init__(self, videos: Videos, datasets: Datasets) -> None:
        self._videos = videos
        self._datasets = datasets
        self._known: tuple[float, int] | None = None

    async def stored_bytes(self) -> int:
        """Bytes of the stored videos and datasets, as they were a few seconds ago. Raises: RedisError,
        StorageUnavailable."""
        now = time.monotonic()
        if self._known is None or now >= self._known[0]:
            total = await self._videos.stored_bytes() + await self._datasets.stored_bytes()
            self._known = (now + _REMEMBERED, total)
        return self._known[1]
