"""A TCP proxy whose connections can be cut and delayed: the bad network between two processes of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 1 << 16


class Proxy:
    """Passes connections to a unix socket on. It may be used from any thread while it serves."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.delay = 0.0
        """Seconds that every piece of data takes longer."""

    def cut(self) -> int:
        """Close all connections that are open. Returns their number."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    @contextmanager
    def serving(self) -> Iterator[Proxy]:
        ready = threading.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(ready),), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._server.close)
            thread.join(10)
            self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        ready.set()
        with suppress(asyncio.CancelledError):
            await self._server.serve_forever()
        await self._cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _cut(self) -> int:
        victims = list(self._open)
        for writer in victims:
            writer.transport.abort()
        return len(victims) // 2

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            theirs, ours = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, ours}
        self._open |= ends
        try:
            await asyncio.gather(self._pump(reader, ours), self._pump(theirs, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
