"""Vireo over HTTP, for Python: `Client("http://127.0.0.1:8000").classify("clip.mp4", ["riding a bicycle", "a cat"])`.

    job = client.train(name="my-gym", dataset=client.upload_dataset("clips/")["dataset"], base="lite", epochs=5)
    for event in client.events(job["id"]): ...
    client.classify("clip.mp4", model="my-gym")

Answers are the JSON of the HTTP contract as dictionaries; errors are the tree of `vireo.errors`, raised.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from vireo import archive, export
from vireo.errors import InvalidRequest, VireoError, WorkerUnavailable
from vireo.events import FINAL, Event, parse
from vireo.transfers import CountingFile, Progress, chunks, counted

POLL_SECONDS = 0.5
PATIENCE = 60.0  # seconds for which a broken event stream is tried again
_LIVED = 10.0  # seconds after which an attempt to connect must have been a connection
_EVENT_TIMEOUT = httpx2.Timeout(40.0, connect=5.0)  # the server breaks a silence every 15 seconds


class Client:
    def __init__(self, url: str, *, timeout: float = 300.0) -> None:
        """`timeout`: seconds for one answer; while an upload moves, it starts anew."""
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
            return self._finished(self._post("/v1/classify", json=fields | {"url": str(video)}))
        if str(video).startswith("vid_"):
            return self._finished(self._post("/v1/classify", json=fields | {"video_id": str(video)}))
        return self._finished(self._upload("/v1/classify", "video", Path(video), fields, progress))

    def upload_dataset(
        self, path: str | Path, *, name: str | None = None, progress: Progress | None = None, **options: Any
    ) -> dict[str, Any]:
        """A directory (sent as a zip), a zip or a tar: the dataset's id, classes and findings, once it was checked.

        `options`: `split_seed`, `val_fraction`. Raises: InvalidDataset, with what was found, and other VireoErrors.
        """
        job = self.send_dataset(path, name=name, progress=progress, **options)
        return self.result(job["id"])

    def send_dataset(
        self, path: str | Path, *, name: str | None = None, progress: Progress | None = None, **options: Any
    ) -> dict[str, Any]:
        """Like `upload_dataset`, but returns the job that checks it. Raises: VireoError."""
        path = Path(path)
        params = {"name": name or path.resolve().stem} | {k: v for k, v in options.items() if v is not None}
        if path.is_dir():
            files = archive.entries(path)
            size = sum(entry.size for entry in files)
            content: Iterator[bytes] = counted(archive.stream(files), size, progress)
        elif path.is_file():
            size = path.stat().st_size
            content = counted(chunks(path), size, progress)
        else:
            raise InvalidRequest(f"There is no file or directory {path}.")
        limit = self.info()["limits"]["max_archive_bytes"]
        if size > limit:
            raise InvalidRequest(
                f"{path} has {size} bytes; this server takes {limit}.", hint="Raise VIREO_MAX_ARCHIVE_BYTES."
            )
        headers = {"content-type": "application/octet-stream"}
        return self._body(self._post("/v1/datasets", params=params, content=content, headers=headers))

    def train(self, **request: Any) -> dict[str, Any]:
        """Start a training job; fields as in POST /v1/training-jobs, None means left out. Raises: VireoError."""
        return self._body(self._post("/v1/training-jobs", json=_given(request)))

    def evaluate(self, **request: Any) -> dict[str, Any]:
        """Start an evaluation; fields as in POST /v1/evaluations. Raises: VireoError."""
        return self._body(self._post("/v1/evaluations", json=_given(request)))

    def import_checkpoint(
        self, path: str | Path, name: str, *, progress: Progress | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a published checkpoint; returns the job that imports it. `options`: `base`, `temporal`, `frames`,
        `classes`. Raises: VireoError."""
        fields = _given(options | {"name": name})
        return self._body(self._upload("/v1/models", "file", Path(path), fields, progress))

    def export(self, ref: str, target: str | Path, *, progress: Progress | None = None) -> dict[str, Any]:
        """Write a version as a plain open_clip state dict (.safetensors), without what is ours.

        → its `card`, how many `tensors` were written, which modules were `dropped`, and whether a `text` tower is among
        what was written. Raises: VireoError.
        """
        cards = self._body(self._get(f"/v1/models/{ref}"))["cards"]
        if not cards:
            raise InvalidRequest(f"{ref} is not fine-tuned: there is nothing to export.")
        card, target = cards[0], Path(target)
        if card["architecture"] == "lite":
            raise InvalidRequest(
                f"{card['name']}:{card['version']} is a lite, and that is no architecture of open_clip's.",
                hint="Only what was trained from a CLIP can be exported.",
            )
        with tempfile.NamedTemporaryFile(suffix=".safetensors", dir=target.resolve().parent) as weights:
            path = f"/v1/models/{card['name']}/versions/{card['version']}/files/model.safetensors"
            self._download(path, Path(weights.name), progress)
            stripped = export.strip(Path(weights.name), target)
        return {"card": card, "tensors": stripped.tensors, "dropped": list(stripped.dropped), "text": stripped.text}

    def models(self) -> list[dict[str, Any]]:
        """Raises: VireoError."""
        data: list[dict[str, Any]] = self._body(self._get("/v1/models"))["data"]
        return data

    def set_alias(self, name: str, alias: str, version: int) -> dict[str, Any]:
        """Raises: VireoError."""
        answer = self._send(lambda: self._http.put(f"/v1/models/{name}/aliases/{alias}", json={"version": version}))
        return self._body(answer)

    def job(self, job_id: str) -> dict[str, Any]:
        """Raises: VireoError."""
        return self._body(self._get(f"/v1/jobs/{job_id}"))

    def jobs(self, **filters: Any) -> list[dict[str, Any]]:
        """The newest; `filters`: `state`, `kind`, `limit`. Raises: VireoError."""
        answer = self._send(lambda: self._http.get("/v1/jobs", params=_given(filters)))
        data: list[dict[str, Any]] = self._body(answer)["data"]
        return data

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Raises: VireoError."""
        return self._body(self._post(f"/v1/jobs/{job_id}/cancel"))

    def resume(self, job_id: str) -> dict[str, Any]:
        """Raises: VireoError."""
        return self._body(self._post(f"/v1/training-jobs/{job_id}/resume"))

    def result(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's result. Raises: VireoError, the job's own error included."""
        for _ in self.events(job_id):
            pass
        return _result(self.job(job_id))

    def events(self, job_id: str, after: str | None = None) -> Iterator[Event]:
        """A job's events until it ends, from the first on or after one's id. A connection that breaks is made anew, and
        nothing is missed. Raises: VireoError where there is no such job, or nobody answers for a minute."""
        give_up = time.monotonic() + PATIENCE
        while True:
            ended, began = False, time.monotonic()
            try:
                for event in self._stream(job_id, after):
                    after, ended = event.id, event.ends
                    yield event
            except WorkerUnavailable:
                now = time.monotonic()
                if now - began > _LIVED:
                    give_up = now + PATIENCE
                elif now > give_up:
                    raise
            if ended or (after is not None and self._is_over(job_id)):
                return
            time.sleep(POLL_SECONDS)

    def _stream(self, job_id: str, after: str | None) -> Iterator[Event]:
        headers = {"last-event-id": after} if after else {}
        path = f"/v1/jobs/{job_id}/events"
        with (
            _connection(self.url),
            self._http.stream("GET", path, headers=headers, timeout=_EVENT_TIMEOUT) as answer,
        ):
            if answer.status_code == 200:
                yield from parse(answer.iter_lines())
            elif answer.status_code != 204:
                answer.read()
                self._body(answer)

    def _is_over(self, job_id: str) -> bool:
        try:
            return self.job(job_id)["state"] in FINAL
        except WorkerUnavailable:
            return False

    def info(self) -> dict[str, Any]:
        """Raises: VireoError."""
        return self._body(self._get("/v1/info"))

    def get(self, path: str) -> httpx2.Response:
        """A plain GET, whatever its status. Raises: WorkerUnavailable where nothing listens."""
        return self._get(path)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _upload(
        self, route: str, field: str, path: Path, fields: dict[str, Any], progress: Progress | None
    ) -> httpx2.Response:
        data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        with CountingFile(path, progress) as file:
            return self._post(route, data=data, files={field: (path.name, file, "application/octet-stream")})

    def _download(self, path: str, target: Path, progress: Progress | None) -> None:
        with _connection(self.url), self._http.stream("GET", path) as answer, target.open("wb") as file:
            if answer.is_error:
                answer.read()
                self._body(answer)
            size = int(answer.headers.get("content-length", 0))
            for chunk in counted(answer.iter_bytes(1 << 20), size, progress):
                file.write(chunk)

    def _finished(self, answer: httpx2.Response) -> dict[str, Any]:
        body = self._body(answer)
        if answer.status_code != 202:
            return body
        while body["state"] not in FINAL:
            time.sleep(POLL_SECONDS)
            body = self.job(body["id"])
        return _result(body)

    def _get(self, path: str) -> httpx2.Response:
        return self._send(lambda: self._http.get(path))

    def _post(self, path: str, **content: Any) -> httpx2.Response:
        return self._send(lambda: self._http.post(path, **content))

    def _send(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        with _connection(self.url):
            return call()

    @staticmethod
    def _body(answer: httpx2.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = answer.json()
        except ValueError:
            raise VireoError(f"The server answered {answer.status_code} without JSON. Is it Vireo?") from None
        if answer.is_error:
            raise VireoError.from_dict(body.get("error", {"message": f"The server answered {answer.status_code}."}))
        return body


@contextmanager
def _connection(url: str) -> Iterator[None]:
    """Raises: WorkerUnavailable where nothing listens, or the connection breaks."""
    try:
        yield
    except httpx2.ConnectError as error:
        raise WorkerUnavailable(f"Nothing answers at {url}.", hint="Start it with `make run` or `vireo up`.") from error
    except httpx2.HTTPError as error:
        raise WorkerUnavailable(f"The connection to {url} broke: {error}.") from error


def _result(job: dict[str, Any]) -> dict[str, Any]:
    if job["error"]:
        raise VireoError.from_dict(job["error"])
    result: dict[str, Any] = job["result"]
    return result


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
