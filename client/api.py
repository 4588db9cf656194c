"""Vireo over HTTP, for Python: `Client("http://127.0.0.1:8000").classify("clip.mp4", ["riding a bicycle", "a cat"])`.

Answers are the JSON of the HTTP contract as dictionaries; errors are the tree of `core.errors`, raised.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from core.errors import VireoError, WorkerUnavailable

Progress = Callable[[int, int], None]  # bytes sent, bytes in all
POLL_SECONDS = 0.5


class Client:
    def __init__(self, url: str, *, timeout: float = 300.0) -> None:
        """`timeout`: seconds for one answer, the upload included."""
        self._http = httpx2.Client(base_url=url, timeout=httpx2.Timeout(timeout, connect=5.0), trust_env=False)
        self.url = url

    def classify(
        self,
        video: str | Path,
        labels: Sequence[str] = (),
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """`video`: a file, an http(s) URL, or the id of a stored video. `options`: as in POST /v1/classify.

        Waits for as long as the job takes. Raises: VireoError.
        """
        fields = {"labels": list(labels)} if labels else {}
        fields |= {name: value for name, value in options.items() if value is not None}
        if str(video).startswith(("http://", "https://")):
            return self._finished(
                self._send(lambda: self._http.post("/v1/classify", json=fields | {"url": str(video)}))
            )
        if str(video).startswith("vid_"):
            return self._finished(
                self._send(lambda: self._http.post("/v1/classify", json=fields | {"video_id": str(video)}))
            )
        return self._finished(self._upload(Path(video), fields, progress))

    def job(self, job_id: str) -> dict[str, Any]:
        """Raises: VireoError."""
        return self._body(self._send(lambda: self._http.get(f"/v1/jobs/{job_id}")))

    def get(self, path: str) -> httpx2.Response:
        """A plain GET, whatever its status. Raises: WorkerUnavailable where nothing listens."""
        return self._send(lambda: self._http.get(path))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _upload(self, path: Path, fields: dict[str, Any], progress: Progress | None) -> httpx2.Response:
        data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        with _CountingFile(path, progress) as file:
            upload = {"video": (path.name, file, "application/octet-stream")}
            return self._send(lambda: self._http.post("/v1/classify", data=data, files=upload))

    def _finished(self, answer: httpx2.Response) -> dict[str, Any]:
        body = self._body(answer)
        while answer.status_code == 202:
            if body["state"] in ("succeeded", "failed", "cancelled"):
                break
            time.sleep(POLL_SECONDS)
            body = self.job(body["id"])
        if body.get("error"):
            raise VireoError.from_dict(body["error"])
        result: dict[str, Any] = body.get("result", body)
        return result

    def _send(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        try:
            return call()
        except httpx2.ConnectError as error:
            raise WorkerUnavailable(
                f"Nothing answers at {self.url}.", hint="Start it with `make run` or `vireo up`."
            ) from error
        except httpx2.HTTPError as error:
            raise WorkerUnavailable(f"The connection to {self.url} broke: {error}.") from error

    @staticmethod
    def _body(answer: httpx2.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = answer.json()
        except ValueError:
            raise VireoError(f"The server answered {answer.status_code} without JSON. Is it Vireo?") from None
        if answer.is_error:
            raise VireoError.from_dict(body.get("error", {"message": f"The server answered {answer.status_code}."}))
        return body


class _CountingFile(io.FileIO):
    """A file that tells how much of it has been read, so that an upload can show its progress."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(path, "rb")
        self._size = path.stat().st_size
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        if self._progress:
            self._progress(min(self.tell(), self._size), self._size)
        return chunk
