"""The datasets that a server stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from os import PathLike
from pathlib import Path
from typing import Unpack

from vireo import archive
from vireo.asynchronous.connection import AsyncConnection
from vireo.asynchronous.jobs import AsyncJob, start
from vireo.calls import Call, post, quoted, without_none
from vireo.errors import InvalidRequest
from vireo.schema.datasets import Dataset, DatasetResult, PreviewResult
from vireo.schema.requests import FeedbackDatasetBody, FeedbackFilter
from vireo.schema.training_requests import PreviewBody
from vireo.transfers import TransferProgress, chunks, counted


class AsyncDatasets:
    """Labelled videos to train on."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None) -> AsyncIterator[Dataset]:
        """The datasets in the order of their ids. Raises: VireoError."""
        return self._connection.pages("/v1/datasets", Dataset, limit=limit)

    async def get(self, dataset_id: str, *, items: bool = False) -> Dataset:
        """A dataset: its classes, its splits and the findings of its check. `items`: with every clip. Raises:
        UnknownDataset; VireoError."""
        found = await self._connection.get(f"/v1/datasets/{quoted(dataset_id)}", items="true" if items else None)
        return Dataset.read(found)

    async def save_clip(self, dataset_id: str, sha256: str, target: str | PathLike[str]) -> None:
        """Write the bytes of a clip, which `get(…, items=True)` names, into a file. Raises: NotFound; VireoError;
        OSError."""
        path = f"/v1/datasets/{quoted(dataset_id)}/clips/{quoted(sha256)}"
        await self._connection.download(path, Path(target))

    async def add(
        self,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        split_seed: int | None = None,
        val_fraction: float | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob[DatasetResult]:
        """Send a dataset, and return the job that checks it. Its result has the id and the findings.

        `path`: a directory (sent as a zip archive), a zip or a tar. Raises: InvalidRequest; VireoError; OSError.
        """
        path = Path(path)
        if path.is_dir():
            files = archive.list_files(path)
            size = sum(file.size for file in files)
        elif path.is_file():
            files, size = [], path.stat().st_size
        else:
            raise InvalidRequest(f"There is no file or directory {path}.")
        limit = (await self._connection.get("/v1/info"))["limits"]["max_archive_bytes"]
        if size > limit:
            raise InvalidRequest(
                f"{path} has {size} bytes; this server accepts at most {limit}.",
                hint="Send less, or raise VIREO_MAX_ARCHIVE_BYTES on the server.",
            )
        given = {"name": name or path.resolve().stem, "split_seed": split_seed, "val_fraction": val_fraction}
        call = Call(
            "POST",
            "/v1/datasets",
            without_none(given),
            headers={"content-type": "application/octet-stream"},
            pieces=lambda: counted(archive.stream(files) if files else chunks(path), size, progress),
        )
        return await start(self._connection, call, idempotency_key)

    async def from_feedback(
        self,
        name: str | None = None,
        *,
        filter: FeedbackFilter | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[FeedbackDatasetBody],
    ) -> AsyncJob[DatasetResult]:
        """Start the job that makes a dataset of the stored videos that have feedback. Raises: VireoError."""
        body = without_none(options) | without_none({"name": name, "filter": filter}) | {"from": "feedback"}
        return await start(self._connection, post("/v1/datasets", body), idempotency_key)

    async def preview(
        self, dataset_id: str, *, idempotency_key: str | None = None, **options: Unpack[PreviewBody]
    ) -> AsyncJob[PreviewResult]:
        """Start the job that says what training on a dataset would bring and cost. Raises: VireoError."""
        call = post(f"/v1/datasets/{quoted(dataset_id)}/preview", without_none(options))
        return await start(self._connection, call, idempotency_key)

    async def delete(self, dataset_id: str) -> None:
        """Delete a dataset and its clips. Models that were trained on it stay. Raises: VireoError."""
        await self._connection.delete(f"/v1/datasets/{quoted(dataset_id)}")
