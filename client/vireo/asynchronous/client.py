"""The client: questions about videos, and one attribute for each kind of thing that a server stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2

from vireo.answers import read_answer
from vireo.asynchronous.connection import AsyncConnection
from vireo.asynchronous.datasets import AsyncDatasets
from vireo.asynchronous.feedback import AsyncFeedbackStore
from vireo.asynchronous.jobs import AsyncJob, AsyncJobs, ask, start
from vireo.asynchronous.judging import AsyncCalibrations, AsyncEvaluations
from vireo.asynchronous.labels import AsyncLabelSets, checked
from vireo.asynchronous.models import AsyncModels
from vireo.asynchronous.videos import AsyncBatches, AsyncVideos, with_video
from vireo.calls import Call, post, quoted, without_none
from vireo.retries import Retries
from vireo.schema.judging import TrainingResult
from vireo.schema.labels import LabelCheck
from vireo.schema.questions import Classification, Embeddings, Explanation, FrameSheet, SearchResult
from vireo.schema.requests import (
    EmbedBody,
    ExplainBody,
    FramesBody,
    LabelBody,
    LabelSetCheckBody,
    QuestionBody,
    SearchBody,
    SearchFilter,
    TimelineBody,
)
from vireo.schema.server import Info, Readiness
from vireo.schema.training_requests import TrainingRequest
from vireo.sources import Upload, VideoSource, video_part
from vireo.transfers import TransferProgress

_TIMELINE = ("stride", "window", "enter", "leave")


class AsyncClient:
    """A connection to one Vireo server. It can be used as a context manager, which closes it.

    Questions and jobs carry an `Idempotency-Key`, so a repeated request makes no second job; `idempotency_key` sets it.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 300.0,
        retries: int = 3,
        retry_seconds: float = 60.0,
        webhook: str | None = None,
    ) -> None:
        """`token`: sent as `Authorization: Bearer …`. `headers`: sent with every request. `timeout`: seconds to wait
        for the next bytes, sent or received. `retries`: how often a refused request is sent again, with waits of
        `retry_seconds` in all. `webhook`: the URL to which the end of each job that this client starts is announced.
        """
        given = dict(headers or {})
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        if webhook is not None:
            given["webhook-url"] = webhook
        policy = Retries(retries, retry_seconds)
        self._connection = connection = AsyncConnection(url, headers=given, timeout=timeout, retries=policy)
        self.url = connection.url
        self.videos = AsyncVideos(connection)
        self.batches = AsyncBatches(connection)
        self.label_sets = AsyncLabelSets(connection)
        self.datasets = AsyncDatasets(connection)
        self.models = AsyncModels(connection)
        self.evaluations = AsyncEvaluations(connection)
        self.calibrations = AsyncCalibrations(connection)
        self.feedback = AsyncFeedbackStore(connection)
        self.jobs = AsyncJobs(connection)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def classify(
        self,
        video: VideoSource | None = None,
        labels: Sequence[str | LabelBody] | None = None,
        *,
        video_url: str | None = None,
        video_id: str | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[QuestionBody],
    ) -> Classification:
        """Score a video against labels; waits for as long as the job takes.

        `video`: a file (path, bytes or file object), or a stored video that an answer or `videos` has named; else
        `video_url` or `video_id`. `progress` is called with the bytes sent and their number. Raises: VireoError;
        OSError.
        """
        part = video_part(video, video_url, video_id)
        call = with_video("/v1/classify", part, _question(labels, options), progress)
        return await ask(self._connection, call, Classification, idempotency_key)

    async def timeline(
        self,
        video: VideoSource | None = None,
        labels: Sequence[str | LabelBody] | None = None,
        *,
        video_url: str | None = None,
        video_id: str | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[TimelineBody],
    ) -> Classification:
        """When each label is seen: the answer of `classify` with a `timeline`: similarities over time, and segments.
        A stored video that is asked again is not decoded again. Raises: VireoError; OSError."""
        part, fields = video_part(video, video_url, video_id), _question(labels, options)
        if isinstance(part, dict) and "video_id" in part:
            call = post(f"/v1/videos/{quoted(part['video_id'])}/timeline", fields)
        else:
            own = {name: fields.pop(name) for name in _TIMELINE if name in fields}
            call = with_video("/v1/classify", part, fields | {"timeline": own or True}, progress)
        return await ask(self._connection, call, Classification, idempotency_key)

    async def explain(
        self,
        video: VideoSource | None = None,
        labels: Sequence[str | LabelBody] | None = None,
        *,
        video_url: str | None = None,
        video_id: str | None = None,
        label: str | None = None,
        sheet: str | PathLike[str] | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[ExplainBody],
    ) -> Explanation:
        """Why a label gets its score: what each frame adds, and where the image tower looks.

        A file or URL is classified first, which stores it for a while. `label`: the one to explain; None for the best.
        `sheet`: where to write the attention sheet, a PNG; nothing is written if the model has none, which
        `answer.sheet_note` says. Raises: VireoError; OSError.
        """
        fields = _question(labels, options)
        stored = await self._stored(video_part(video, video_url, video_id), fields, progress)
        call = post(f"/v1/videos/{quoted(stored)}/explain", fields | without_none({"label": label}))
        answer = await ask(self._connection, call, Explanation, idempotency_key)
        if sheet is not None and answer.sheet is not None:
            await self._connection.download(answer.sheet.url, Path(sheet))
        return answer

    async def frames(
        self,
        video_id: str,
        *,
        picture: str | PathLike[str] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[FramesBody],
    ) -> FrameSheet:
        """The frames of a stored video that a model looks at. `picture`: where to write them, a JPEG. Raises:
        VireoError; OSError."""
        call = post(f"/v1/videos/{quoted(video_id)}/frames", without_none(options))
        found = await ask(self._connection, call, FrameSheet, idempotency_key)
        if picture is not None:
            await self._connection.download(found.url, Path(picture))
        return found

    async def search(
        self,
        text: str | None = None,
        *,
        video_id: str | None = None,
        filter: SearchFilter | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[SearchBody],
    ) -> SearchResult:
        """Stored videos that show what `text` says, or that resemble a stored one: `data`, the most similar first.
        `client.videos.index()` makes videos searchable. Raises: VireoError."""
        body = without_none(options) | without_none({"text": text, "video_id": video_id})
        if filter is not None:
            body["filter"] = without_none(filter)
        return await ask(self._connection, post("/v1/search", body), SearchResult, idempotency_key)

    async def embed(
        self,
        texts: Sequence[str] | None = None,
        *,
        video: VideoSource | None = None,
        video_url: str | None = None,
        video_id: str | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[EmbedBody],
    ) -> Embeddings:
        """Vectors of texts, or of one video, in the space of a model. Raises: VireoError; OSError."""
        fields = without_none(options) | without_none({"texts": None if texts is None else [*texts]})
        if video is None and video_url is None and video_id is None:
            call = post("/v1/embeddings", fields)
        else:
            call = with_video("/v1/embeddings", video_part(video, video_url, video_id), fields, progress)
        return await ask(self._connection, call, Embeddings, idempotency_key)

    async def check_labels(
        self,
        labels: Sequence[str | LabelBody],
        *,
        picture: str | PathLike[str] | None = None,
        **options: Unpack[LabelSetCheckBody],
    ) -> LabelCheck:
        """What is wrong with labels before anything is asked: findings with suggestions. `picture`: where to write the
        picture of their similarities, a PNG. Raises: VireoError."""
        call = post("/v1/labels/check", without_none(options) | {"labels": [*labels]})
        return await checked(self._connection, call, picture)

    async def train(
        self, name: str, dataset: str, *, idempotency_key: str | None = None, **options: Unpack[TrainingRequest]
    ) -> AsyncJob[TrainingResult]:
        """Start a run of training that adds a version to the model `name`. `follow()` of the job says how it goes, and
        `result()` waits for its end. Raises: VireoError."""
        body = without_none(options) | {"name": name, "dataset": dataset}
        return await start(self._connection, post("/v1/training-jobs", body), idempotency_key)

    async def info(self) -> Info:
        """The server's version, default model, limits, workers and queues. Raises: VireoError."""
        return Info.read(await self._connection.get("/v1/info"))

    async def ready(self) -> Readiness:
        """Whether questions can be answered, and what is missing. Raises: VireoError if the server says nothing."""
        return Readiness.read(read_answer(await self.get("/readyz")))

    async def get(self, path: str) -> httpx2.Response:
        """A plain GET of any path; an error status is not raised. Raises: ConnectionFailed."""
        return await self._connection.answer(Call("GET", path, accepted=range(400, 600)))

    async def _stored(
        self, part: Upload | dict[str, str], fields: dict[str, Any], progress: TransferProgress | None
    ) -> str:
        """The id of a video; what is not stored is classified, which stores it."""
        if isinstance(part, dict) and "video_id" in part:
            return part["video_id"]
        call = with_video("/v1/classify", part, fields, progress)
        return (await ask(self._connection, call, Classification)).video.id


def _question(labels: Sequence[str | LabelBody] | None, options: Any) -> dict[str, Any]:
    return without_none({"labels": None if labels is None else [*labels]}) | without_none(options)
