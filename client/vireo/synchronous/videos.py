"""The videos that a server stores, and batches of questions about them.

Rendered from vireo/asynchronous by docs/render.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Unpack

from vireo.synchronous.connection import Connection
from vireo.synchronous.jobs import Job, start
from vireo.calls import Call, post, quoted, without_none
from vireo.schema.questions import IndexResult
from vireo.schema.requests import KeepBody, LabelBody, QuestionBody, SearchFilter
from vireo.schema.videos import BatchResult, BatchRow, Video
from vireo.sources import Upload, VideoSource, upload, video_part
from vireo.transfers import JsonLines, TransferProgress


class Videos:
    """The stored videos."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        *,
        tags: Sequence[str] = (),
        order: Literal["created", "uncertainty"] | None = None,
        limit: int | None = None,
    ) -> Iterator[Video]:
        """The videos that have all `tags`, the newest first. With the order `uncertainty`: those whose last answer is
        the least certain, first; each has it in `answer`. Raises: VireoError."""
        return self._connection.pages("/v1/videos", Video, limit=limit, tag=[*tags], order=order)

    def get(self, video_id: str) -> Video:
        """A stored video. Raises: UnknownVideo; VireoError."""
        return Video.read(self._connection.get(f"/v1/videos/{quoted(video_id)}"))

    def add(
        self,
        video: VideoSource | None = None,
        *,
        video_url: str | None = None,
        video_id: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: TransferProgress | None = None,
        **options: Unpack[KeepBody],
    ) -> Video:
        """Store a video until it is deleted. The same bytes always get the same id.

        `tags`, `metadata`: what a stored video has stays if they are None. Raises: VireoError; OSError.
        """
        part = video_part(video, video_url, video_id)
        fields = without_none(options) | _description(tags, metadata)
        return Video.read(self._connection.json(with_video("/v1/videos", part, fields, progress, harmless=True)))

    def update(
        self, video_id: str, *, tags: Sequence[str] | None = None, metadata: Mapping[str, str] | None = None
    ) -> Video:
        """Set the tags or the metadata of a stored video; None stays. Raises: VireoError."""
        call = Call("PATCH", f"/v1/videos/{quoted(video_id)}", json=_description(tags, metadata))
        return Video.read(self._connection.json(call))

    def delete(self, video_id: str) -> None:
        """Delete a stored video. Raises: VireoError."""
        self._connection.delete(f"/v1/videos/{quoted(video_id)}")

    def save(
        self, video_id: str, target: str | PathLike[str], *, progress: TransferProgress | None = None
    ) -> None:
        """Write the bytes of a stored video into a file. Raises: VireoError; OSError."""
        self._connection.download(f"/v1/videos/{quoted(video_id)}/content", Path(target), progress)

    def index(
        self, *, model: str | None = None, idempotency_key: str | None = None, **filters: Unpack[SearchFilter]
    ) -> Job[IndexResult]:
        """Start the job that makes stored videos searchable. Raises: VireoError."""
        body = without_none({"model": model, "filter": without_none(filters)})
        return start(self._connection, post("/v1/search/index", body), idempotency_key)


class Batches:
    """Questions about many videos."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        videos: Sequence[str | Mapping[str, str] | Video] | None = None,
        labels: Sequence[str | LabelBody] | None = None,
        *,
        manifest: str | PathLike[str] | bytes | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[QuestionBody],
    ) -> Job[BatchResult]:
        """Start the job that asks one question about many videos.

        `videos`: stored videos, and `http(s)://` and `s3://` URLs; or items with an `id` of your own and one of
        `video_id`, `video_url` and `s3`. `manifest` instead: a file of such items, JSONL or CSV. Raises: VireoError.
        """
        fields = without_none({"labels": labels}) | without_none(options)
        if manifest is not None:
            call = post("/v1/batches", fields, upload=upload("manifest", manifest))
        else:
            call = post("/v1/batches", fields | {"items": [_item(video) for video in videos or ()]})
        return start(self._connection, call, idempotency_key)

    def list(self, *, limit: int | None = None) -> Iterator[Job[BatchResult]]:
        """The batches, the newest first. Raises: VireoError."""
        return Job.listed(self._connection, kind="batch", limit=limit)

    def get(self, job_id: str) -> Job[BatchResult]:
        """A batch: its `progress` says how many of its videos are done. Raises: UnknownJob; VireoError."""
        return Job(self._connection, self._connection.get(f"/v1/batches/{quoted(job_id)}"))

    def rows(self, job_id: str) -> Iterator[BatchRow]:
        """The rows that are ready, in the order of the manifest. Raises: VireoError."""
        lines = JsonLines()
        with self._connection.stream(Call("GET", f"/v1/batches/{quoted(job_id)}/results")) as answer:
            for text in answer.iter_text():
                for line in lines.add(text):
                    yield BatchRow.read(json.loads(line))
        for line in lines.end():
            yield BatchRow.read(json.loads(line))

    def save(self, job_id: str, target: str | PathLike[str]) -> None:
        """Write the rows that are ready into a file: CSV if its name ends so, else JSONL. Raises: VireoError;
        OSError."""
        kind = "csv" if Path(target).suffix.lower() == ".csv" else "jsonl"
        self._connection.download(f"/v1/batches/{quoted(job_id)}/results", Path(target), format=kind)


def with_video(
    path: str,
    part: Upload | dict[str, str],
    fields: dict[str, Any],
    progress: TransferProgress | None,
    *,
    harmless: bool = False,
) -> Call:
    """A request about one video: a form with the file, or JSON that names it."""
    if isinstance(part, Upload):
        return post(path, fields, upload=part, progress=progress, harmless=harmless)
    return post(path, fields | part, harmless=harmless)


def _description(tags: Sequence[str] | None, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    given = {"tags": None if tags is None else [*tags], "metadata": None if metadata is None else dict(metadata)}
    return without_none(given)


def _item(video: str | Mapping[str, str] | Video) -> dict[str, str]:
    """A batch has no files, so a text is an id or a URL."""
    if isinstance(video, Video):
        return {"video_id": video.id}
    if isinstance(video, Mapping):
        return dict(video)
    if "://" not in video:
        return {"video_id": video}
    return {"s3" if video.startswith("s3://") else "video_url": video}
