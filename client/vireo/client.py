"""The client: one method per operation of the HTTP API.

    client = Client("http://127.0.0.1:8000")
    client.classify("clip.mp4", ["riding a bicycle", "a cat"])
    job = client.train(name="my-gym", dataset=client.upload_dataset("clips/")["dataset"], base="lite", epochs=5)
    for event in client.events(job["id"]): ...
    client.classify("clip.mp4", model="my-gym")

Answers are dictionaries: the JSON that docs/api.md describes. Errors are raised as the exceptions of `vireo.errors`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from vireo import archive, export
from vireo.answers import connection_errors, read_answer, result_of
from vireo.connection import POLL_SECONDS, without_none
from vireo.errors import InvalidRequest, WorkerUnavailable
from vireo.events import FINAL_STATES, Event, parse
from vireo.feedback import FeedbackMethods
from vireo.transfers import TransferProgress, chunks, counted
from vireo.videos import VideoMethods

RECONNECT_SECONDS = 60.0  # how long a broken event stream is opened again before giving up
_CONNECTED_AFTER = 10.0  # seconds: an attempt that took longer than the connect time-out was a connection that broke
_EVENT_TIMEOUT = httpx2.Timeout(40.0, connect=5.0)  # the server sends a comment after every 15 seconds of silence


class Client(VideoMethods, FeedbackMethods):
    """A connection to one Vireo server. It can be used as a context manager, which closes it."""

    def upload_dataset(
        self, path: str | Path, *, name: str | None = None, progress: TransferProgress | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a dataset and wait until the server has checked it; returns its id, classes and findings.

        `path`: a directory (sent as a zip archive), a zip or a tar. `options`: `split_seed`, `val_fraction`.
        Raises: VireoError; InvalidDataset carries the findings.
        """
        job = self.send_dataset(path, name=name, progress=progress, **options)
        return self.result(job["id"])

    def send_dataset(
        self, path: str | Path, *, name: str | None = None, progress: TransferProgress | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a dataset like `upload_dataset`, but return the job that checks it. Raises: VireoError."""
        path = Path(path)
        params = {"name": name or path.resolve().stem} | without_none(options)
        if path.is_dir():
            files = archive.list_files(path)
            size = sum(file.size for file in files)
            content: Iterator[bytes] = counted(archive.stream(files), size, progress)
        elif path.is_file():
            size = path.stat().st_size
            content = counted(chunks(path), size, progress)
        else:
            raise InvalidRequest(f"There is no file or directory {path}.")
        limit = self.info()["limits"]["max_archive_bytes"]
        if size > limit:
            raise InvalidRequest(
                f"{path} has {size} bytes; this server accepts at most {limit}.",
                hint="Send less, or raise VIREO_MAX_ARCHIVE_BYTES on the server.",
            )
        headers = {"content-type": "application/octet-stream"}
        return read_answer(self._post("/v1/datasets", params=params, content=content, headers=headers))

    def train(self, **request: Any) -> dict[str, Any]:
        """Start a training job and return it. `request`: the fields of POST /v1/training-jobs; None leaves one out.
        Raises: VireoError."""
        return read_answer(self._post("/v1/training-jobs", json=without_none(request)))

    def preview(self, dataset: str, **request: Any) -> dict[str, Any]:
        """Start a preview of training on a dataset, and return its job. `request`: the fields of POST
        /v1/datasets/{id}/preview; None leaves one out. Raises: VireoError."""
        return read_answer(self._post(f"/v1/datasets/{dataset}/preview", json=without_none(request)))

    def evaluate(self, **request: Any) -> dict[str, Any]:
        """Start an evaluation job and return it. `request`: the fields of POST /v1/evaluations; None leaves one out.
        Raises: VireoError."""
        return read_answer(self._post("/v1/evaluations", json=without_none(request)))

    def calibrate(self, **request: Any) -> dict[str, Any]:
        """Start a calibration job and return it. `request`: the fields of POST /v1/calibrations; None leaves one out.
        Raises: VireoError."""
        return read_answer(self._post("/v1/calibrations", json=without_none(request)))

    def check_labels(
        self,
        labels: Sequence[str] = (),
        *,
        label_set: str | None = None,
        picture: str | Path | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """What is wrong with labels, or with a stored label set, before anything is asked: findings with suggestions.

        `picture`: where to write the picture of their similarities, a PNG. `options`: `model`, `templates`,
        `normalize_labels`. Raises: VireoError.
        """
        fields = without_none(options)
        if label_set is None:
            answer = self._post("/v1/labels/check", json=fields | {"labels": list(labels)})
        else:
            answer = self._post(f"/v1/label-sets/{label_set}/check", json=fields)
        found = self._wait(answer)
        if picture is not None:
            self._download(found["map"]["url"], Path(picture))
        return found

    def calibrations(self) -> list[dict[str, Any]]:
        """All calibrations, the newest first. Raises: VireoError."""
        return self._pages("/v1/calibrations")

    def calibration(self, name: str, *, diagram: str | Path | None = None) -> dict[str, Any]:
        """A calibration by its id, or the newest one of a model. `diagram`: where to write its reliability diagram, a
        PNG. Raises: VireoError."""
        found = read_answer(self._get(f"/v1/calibrations/{name}"))
        if diagram is not None:
            self._download(found["links"]["diagram"], Path(diagram))
        return found

    def delete_calibration(self, calibration_id: str) -> None:
        """Delete a calibration by its id; the one before it is used again. Raises: VireoError."""
        answer = self._send(lambda: self._http.delete(f"/v1/calibrations/{calibration_id}"))
        if answer.is_error:
            read_answer(answer)

    def import_checkpoint(
        self, path: str | Path, name: str, *, progress: TransferProgress | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a published checkpoint and return the job that imports it as a new version of the model `name`.

        `options`: `base`, `temporal`, `frames`, `classes`. Raises: VireoError.
        """
        fields = without_none(options | {"name": name})
        return read_answer(self._upload("/v1/models", "file", Path(path), fields, progress))

    def export(self, ref: str, target: str | Path, *, progress: TransferProgress | None = None) -> dict[str, Any]:
        """Write a version as a plain open_clip state dict (.safetensors), without the modules that only Vireo has.

        Returns the version's `card`, the number of `tensors` written, the names of the modules `dropped`, and whether
        a `text` tower was written. Raises: VireoError.
        """
        cards = read_answer(self._get(f"/v1/models/{ref}"))["cards"]
        if not cards:
            raise InvalidRequest(f"{ref} is not a fine-tuned model, so it has no version to export.")
        card, target = cards[0], Path(target)
        if card["architecture"] == "lite":
            raise InvalidRequest(
                f"{card['name']}:{card['version']} was trained from lite, which is no architecture of open_clip.",
                hint="Export a version that was trained from a CLIP model.",
            )
        with tempfile.NamedTemporaryFile(suffix=".safetensors", dir=target.resolve().parent) as weights:
            path = f"/v1/models/{card['name']}/versions/{card['version']}/files/model.safetensors"
            self._download(path, Path(weights.name), progress)
            stripped = export.strip(Path(weights.name), target)
        return {"card": card, "tensors": stripped.tensors, "dropped": list(stripped.dropped), "text": stripped.text}

    def models(self) -> list[dict[str, Any]]:
        """All models: those that need no training, and the fine-tuned ones. Raises: VireoError."""
        return self._pages("/v1/models")

    def set_alias(self, name: str, alias: str, version: int) -> dict[str, Any]:
        """Point an alias of a fine-tuned model at a version. Raises: VireoError."""
        answer = self._send(lambda: self._http.put(f"/v1/models/{name}/aliases/{alias}", json={"version": version}))
        return read_answer(answer)

    def compare(self, name: str, alias: str, candidate: str, dataset: str | None = None) -> dict[str, Any]:
        """Whether the model `candidate` is better than the version that the alias points to; waits for as long as it
        takes. `dataset`: on whose held-out clips both are judged. Raises: VireoError."""
        body = without_none({"model": candidate, "dataset": dataset})
        return self._wait(self._post(f"/v1/models/{name}/aliases/{alias}/compare", json=body))

    def shadow(self, name: str, alias: str) -> dict[str, Any]:
        """The shadow of an alias and what was counted of it: how often it agrees with the version that answers.
        Raises: VireoError."""
        return read_answer(self._get(f"/v1/models/{name}/aliases/{alias}/shadow"))

    def set_shadow(self, name: str, alias: str, version: int, share: float = 0.1) -> dict[str, Any]:
        """Let a version score a share of the questions to an alias, without answering them. Raises: VireoError."""
        body = {"version": version, "share": share}
        answer = self._send(lambda: self._http.put(f"/v1/models/{name}/aliases/{alias}/shadow", json=body))
        return read_answer(answer)

    def drop_shadow(self, name: str, alias: str) -> None:
        """Take the shadow of an alias away. Raises: VireoError."""
        answer = self._send(lambda: self._http.delete(f"/v1/models/{name}/aliases/{alias}/shadow"))
        if answer.is_error:
            read_answer(answer)

    def jobs(self, **filters: Any) -> list[dict[str, Any]]:
        """The newest jobs, newest first, without requests and results. `filters`: `state`, `kind`, `limit`.

        Raises: VireoError."""
        answer = self._send(lambda: self._http.get("/v1/jobs", params=without_none(filters)))
        data: list[dict[str, Any]] = read_answer(answer)["data"]
        return data

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job and return it; a running job ends a moment later. Raises: VireoError."""
        return read_answer(self._post(f"/v1/jobs/{job_id}/cancel"))

    def resume(self, job_id: str) -> dict[str, Any]:
        """Continue a failed or cancelled training job from its last checkpoint. Raises: VireoError."""
        return read_answer(self._post(f"/v1/training-jobs/{job_id}/resume"))

    def result(self, job_id: str) -> dict[str, Any]:
        """Wait until a job ends and return its result. Raises: VireoError, including the job's own error."""
        for _ in self.events(job_id):
            pass
        return result_of(self.job(job_id))

    def events(self, job_id: str, after: str | None = None) -> Iterator[Event]:
        """A job's events until it ends: from the first one, or from the one that follows the event id `after`.

        A broken connection is opened again, and no event is missed. Raises: VireoError if the job does not exist, or
        the server does not answer for a minute.
        """
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            ended, began = False, time.monotonic()
            try:
                for event in self._stream(job_id, after):
                    after, ended = event.id, event.is_final
                    yield event
            except WorkerUnavailable:
                now = time.monotonic()
                if now - began > _CONNECTED_AFTER:
                    deadline = now + RECONNECT_SECONDS
                elif now > deadline:
                    raise
            if ended or (after is not None and self._has_ended(job_id)):
                return
            time.sleep(POLL_SECONDS)

    def _stream(self, job_id: str, after: str | None) -> Iterator[Event]:
        headers = {"last-event-id": after} if after else {}
        path = f"/v1/jobs/{job_id}/events"
        with (
            connection_errors(self.url),
            self._http.stream("GET", path, headers=headers, timeout=_EVENT_TIMEOUT) as answer,
        ):
            if answer.status_code == 200:
                yield from parse(answer.iter_lines())
            elif answer.status_code != 204:
                answer.read()
                read_answer(answer)

    def _has_ended(self, job_id: str) -> bool:
        try:
            return self.job(job_id)["state"] in FINAL_STATES
        except WorkerUnavailable:
            return False

    def info(self) -> dict[str, Any]:
        """The server's version, model, limits and workers. Raises: VireoError."""
        return read_answer(self._get("/v1/info"))

    def get(self, path: str) -> httpx2.Response:
        """A plain GET; an error status is not raised. Raises: WorkerUnavailable if nothing listens."""
        return self._get(path)
