"""A connection to one server: sends requests, waits for their jobs, and transfers files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from vireo.answers import connection_errors, read_answer, result_of
from vireo.events import FINAL_STATES
from vireo.transfers import CountingFile, TransferProgress, counted

POLL_SECONDS = 0.5


class Connection:
    """It can be used as a context manager, which closes it."""

    def __init__(self, url: str, *, timeout: float = 300.0, webhook: str | None = None) -> None:
        """`timeout`: seconds to wait for the next bytes, sent or received. `webhook`: the URL to which the end of each
        job that this client starts is announced."""
        headers = {"webhook-url": webhook} if webhook else None
        limit = httpx2.Timeout(timeout, connect=5.0)
        self._http = httpx2.Client(base_url=url, timeout=limit, headers=headers, trust_env=False)
        self.url = url

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's state, request, progress and result. Raises: VireoError."""
        return read_answer(self._get(f"/v1/jobs/{job_id}"))

    def close(self) -> None:
        """Close the connections to the server."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _upload(
        self, route: str, field: str, path: Path, fields: dict[str, Any], progress: TransferProgress | None
    ) -> httpx2.Response:
        data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        with CountingFile(path, progress) as file:
            return self._post(route, data=data, files={field: (path.name, file, "application/octet-stream")})

    def _download(self, path: str, target: Path, progress: TransferProgress | None = None) -> None:
        with connection_errors(self.url), self._http.stream("GET", path) as answer, target.open("wb") as file:
            if answer.is_error:
                answer.read()
                read_answer(answer)
            size = int(answer.headers.get("content-length", 0))
            for chunk in counted(answer.iter_bytes(1 << 20), size, progress):
                file.write(chunk)

    def _wait(self, answer: httpx2.Response) -> dict[str, Any]:
        body = read_answer(answer)
        if answer.status_code != 202:
            return body
        while body["state"] not in FINAL_STATES:
            time.sleep(POLL_SECONDS)
            body = self.job(body["id"])
        return result_of(body)

    def _pages(self, route: str) -> list[dict[str, Any]]:
        """All entries of a list, page by page."""
        found: list[dict[str, Any]] = []
        params: dict[str, str] = {}
        while True:
            page = read_answer(self._send(lambda: self._http.get(route, params=params)))
            found += page["data"]
            if page.get("next") is None:
                return found
            params["cursor"] = page["next"]

    def _get(self, path: str) -> httpx2.Response:
        return self._send(lambda: self._http.get(path))

    def _post(self, path: str, **content: Any) -> httpx2.Response:
        return self._send(lambda: self._http.post(path, **content))

    def _send(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        with connection_errors(self.url):
            return call()


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}
