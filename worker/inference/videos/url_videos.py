"""The videos of questions that have a URL: fetched inside the job, and stored like uploaded ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from core.errors import Cancelled
from core.settings import Settings
from core.storage import Store, threads
from core.uploads.fetch import Fetcher
from core.uploads.sink import Upload
from worker.inference.videos.facts import VideoBook
from worker.jobs.attempt import Postponed
from worker.jobs.cancellation import CancelToken


class UrlVideos:
    """All fetches of this worker run on one event loop, so that a cancelled job leaves its fetch at once, whatever the
    other server does."""

    def __init__(self, settings: Settings, store: Store, book: VideoBook) -> None:
        self._store = store
        self._book = book
        self._limit = settings.max_upload_bytes
        self._fetcher = Fetcher(settings.allowed_hosts)
        # Each fetch holds a thread of the worker. Slow servers must leave threads for other questions.
        self._slots = threading.Semaphore(max(1, settings.worker_threads // 2))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetches", daemon=True)
        self._thread.start()

    def of(self, book: VideoBook) -> UrlVideos:
        """The same fetches, for the videos of another book."""
        view = copy(self)
        view._book = book
        return view

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of the places for fetches. Raises: Postponed while none is free."""
        if not self._slots.acquire(blocking=False):
            raise Postponed("this worker fetches as many videos as it may")
        try:
            yield
        finally:
            self._slots.release()

    def store(self, url: str, token: CancelToken) -> str:
        """The sha256 of the video at `url`, which is in the store then.

        Raises: Cancelled, UrlNotAllowed, UrlUnreachable, VideoTooLarge, UndecodableVideo, StorageUnavailable,
        redis.RedisError.
        """
        fetching = asyncio.run_coroutine_threadsafe(self._fetch(url), self._loop)
        try:
            return token.wait_for(fetching)
        except Cancelled:
            fetching.cancel()
            raise

    def close(self) -> None:
        """Leave the fetches that still run: their jobs have ended."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _fetch(self, url: str) -> str:
        with Upload(self._store, self._limit) as upload:
            await self._fetcher.fetch(url, upload)
            assert upload.staged is not None  # `fetch` opens it
            return await threads.call(self._book.add, upload.staged)  # the file must stay until it is published
