"""A connection to one server: sends requests, repeats them where that helps, and moves files."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from vireo.answers import connection_errors, error_of, read_answer
from vireo.asynchronous.clock import sleep
from vireo.calls import Call, without_none
from vireo.errors import VireoError
from vireo.retries import Retries
from vireo.schema.result import Result
from vireo.sources import form_fields
from vireo.transfers import CHUNK, TransferProgress

ResultT = TypeVar("ResultT", bound=Result)

PAGE = 1000
"""Most entries of a page of a list."""

log = logging.getLogger("vireo.client")


class AsyncConnection:
    """Requests to the server at `url`."""

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout: float, retries: Retries) -> None:
        self.url = url.rstrip("/")
        self.retries = retries
        with connection_errors(self.url):
            limit = httpx2.Timeout(timeout, connect=5.0)
            self._http = httpx2.AsyncClient(base_url=self.url, timeout=limit, headers=headers, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def json(self, call: Call) -> Any:
        """What the server answers. Raises: VireoError."""
        return read_answer(await self.answer(call))

    async def get(self, path: str, **params: Any) -> Any:
        """What is at a path; parameters that are None are left out. Raises: VireoError."""
        return await self.json(Call("GET", path, without_none(params)))

    async def delete(self, path: str) -> None:
        """Delete what is at a path. Raises: VireoError."""
        await self.answer(Call("DELETE", path))

    async def answer(self, call: Call) -> httpx2.Response:
        """The whole answer. Raises: VireoError."""
        done, waited = 0, 0.0
        while True:
            try:
                answer = await self._open(call)
                with connection_errors(self.url):
                    await answer.aread()
            except VireoError as error:
                pause = self.retries.pause(error, done, waited, repeatable=call.is_repeatable)
                if pause is None or not call.is_readable_again:
                    raise
                log.info("%s %s: %s Again in %.1f s.", call.method, call.path, error.message, pause)
            else:
                return answer
            await sleep(pause)
            done, waited = done + 1, waited + pause

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[httpx2.Response]:
        """An answer that is read piece by piece. It is asked for once. Raises: VireoError."""
        answer = await self._open(call)
        try:
            with connection_errors(self.url):
                yield answer
        finally:
            await answer.aclose()

    async def download(self, path: str, target: Path, progress: TransferProgress | None = None, **params: Any) -> None:
        """Write what is at a path into a file. Raises: VireoError; OSError."""
        async with self.stream(Call("GET", path, params)) as answer:
            size, done = int(answer.headers.get("content-length", 0)), 0
            with target.open("wb") as file:
                async for chunk in answer.aiter_bytes(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if progress:
                        progress(min(done, size), size)

    async def pages(
        self, path: str, kind: type[ResultT], /, *, limit: int | None = None, **params: Any
    ) -> AsyncIterator[ResultT]:
        """The entries of a list, from all its pages; at most `limit`. Raises: VireoError."""
        left, cursor = limit, None
        while left is None or left > 0:
            page = await self.get(path, limit=None if left is None else min(left, PAGE), cursor=cursor, **params)
            for entry in page["data"]:
                yield kind.read(entry)
            cursor = page.get("next")
            if cursor is None:
                return
            left = None if left is None else left - len(page["data"])

    async def _open(self, call: Call) -> httpx2.Response:
        """An answer whose body is still to be read. Raises: VireoError."""
        with connection_errors(self.url):
            if call.upload is not None:
                with call.upload.open(call.progress) as file:
                    part = (call.upload.name, file, "application/octet-stream")
                    answer = await self._send(call, data=form_fields(call.json), files={call.upload.field: part})
            elif call.pieces is not None:
                answer = await self._send(call, content=_sent(call.pieces()))
            else:
                answer = await self._send(call, json=call.json)
            if answer.is_error and answer.status_code not in call.accepted:
                await answer.aread()
                await answer.aclose()
                raise error_of(answer)
            return answer

    async def _send(self, call: Call, **content: Any) -> httpx2.Response:
        timeout = httpx2.USE_CLIENT_DEFAULT if call.timeout is None else httpx2.Timeout(call.timeout, connect=5.0)
        request = self._http.build_request(
            call.method, call.path, params=call.params, headers=call.headers, timeout=timeout, **content
        )
        return await self._http.send(request, stream=True)


async def _sent(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
