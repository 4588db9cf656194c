"""/v1/datasets: labelled videos to train and evaluate on. They are checked when they are uploaded."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.datasets import DatasetRequest
from core.errors import (
    Cancelled,
    Conflict,
    InvalidArchive,
    InvalidDataset,
    InvalidRequest,
    InvalidTraining,
    NotFound,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    TrainingFailed,
    UnknownDataset,
    UnknownModel,
    UnsupportedMedia,
)
from core.training_requests import PreviewBody, PreviewRequest
from service.bodies import examples, reader
from service.bodies.feedback.bodies import FeedbackDatasetBody
from service.bodies.schemas import DatasetBody, DatasetPage, DatasetView, JobView
from service.checks.feedback import clips_of
from service.checks.training import check_training
from service.dependencies import ArchiveUploadDep, CursorQuery, GatewayDep, LimitQuery, NamePath, PreferencesDep
from service.gateway import Gateway
from service.http.downloads import RANGE_HEADER, VIDEO_RESPONSES, video_response
from service.http.openapi import documented_errors, file_body, json_body
from service.http.preferences import Preferences
from service.routes.jobs import WAITED

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_MISSING = documented_errors(UnknownDataset, StorageUnavailable)


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=WAITED
    | documented_errors(
        InvalidDataset,
        Cancelled,
        InvalidRequest,
        InvalidArchive,
        RequestTooLarge,
        UnsupportedMedia,
        Conflict,
        QueueFull,
        StorageUnavailable,
    ),
    # Without JSON: stock generators send JSON wherever it is listed, so no client of theirs could send an archive.
    openapi_extra=file_body(DatasetBody, "archive", examples.DATASET_UPLOAD_EXAMPLE),
)
async def create_dataset(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, upload: ArchiveUploadDep
) -> Response:
    """Send a zip or tar of labelled videos: a folder per class, or `manifest.csv`/`.jsonl` with `path,label[,split]`.

    The body is a form with the file `archive`, or the file itself. A body of JSON, `FeedbackDatasetBody`, makes a
    dataset of stored videos that people have labelled. A job of kind `dataset` checks it. Its result names the dataset
    and the findings.
    """

    async def preview(_: DatasetBody) -> None:
        await gateway.submitter.check_room("dataset", preferences)

    if reader.has_json_body(request):
        return await _from_feedback(request, gateway, preferences)
    body = await reader.read_file_body(request, DatasetBody, upload, preview)
    name = body.name or PurePosixPath(upload.filename.replace("\\", "/")).stem[:200] or "dataset"

    def request_for(key: str) -> DatasetRequest:
        return DatasetRequest(archive=key, name=name, split_seed=body.split_seed, val_fraction=body.val_fraction)

    return await gateway.submitter.submit_upload("dataset", upload, request_for, preferences, request)


async def _from_feedback(request: Request, gateway: Gateway, preferences: Preferences) -> Response:
    body = await reader.read_json_body(request, FeedbackDatasetBody, query=DatasetBody)
    await gateway.submitter.check_room("dataset", preferences)
    clips = await clips_of(gateway, body.filter)

    def request_for(key: str) -> DatasetRequest:
        return DatasetRequest(
            archive=key,
            source="feedback",
            name=body.name or "feedback",
            split_seed=body.split_seed,
            val_fraction=body.val_fraction,
        )

    return await gateway.submitter.submit_text(
        "dataset", clips.model_dump_json(), request_for, body, preferences, request
    )


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_datasets(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> DatasetPage:
    """Datasets in the order of their ids, without their clips."""
    return await gateway.datasets.page(cursor, limit)


@router.get("/{id}", name="get", responses=_MISSING)
async def get_dataset(
    id: NamePath, gateway: GatewayDep, items: Annotated[bool, Query(description="Include all clips.")] = False
) -> DatasetView:
    """A dataset: its classes, its splits and the findings of its check."""
    return await gateway.datasets.view(id, items=items)


@router.get(
    "/{id}/clips/{sha256}",
    name="clip",
    response_class=Response,
    responses=VIDEO_RESPONSES | _MISSING | documented_errors(UnknownDataset, NotFound),
    dependencies=RANGE_HEADER,
)
async def get_clip(id: NamePath, sha256: NamePath, gateway: GatewayDep) -> Response:
    """The bytes of a clip of a dataset, for a player. `GET /v1/datasets/{id}?items=true` lists the clips."""
    return await video_response(await gateway.datasets.clip(id, sha256), sha256)


@router.post(
    "/{id}/preview",
    name="preview",
    status_code=202,
    response_model=JobView,
    responses=WAITED
    | documented_errors(
        TrainingFailed,
        Cancelled,
        InvalidRequest,
        InvalidTraining,
        InvalidDataset,
        UnknownDataset,
        UnknownModel,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=json_body(PreviewBody, examples.PREVIEW_EXAMPLES),
)
async def preview_training(
    id: NamePath, request: Request, gateway: GatewayDep, preferences: PreferencesDep
) -> Response:
    """Try before training: what heads on the base's frozen features get, what more clips would bring, what training
    would cost here, and one sentence of advice. A job of kind `preview` takes seconds after the features."""
    body = await reader.read_json_body(request, PreviewBody)
    dataset = await gateway.datasets.get(id)
    resolved = PreviewRequest(dataset=dataset.id, **body.model_dump())
    check_training(resolved.as_training(), dataset, gateway.limits)
    base = await gateway.models.resolve(body.base)
    resolved = resolved.model_copy(update={"base": base.name})
    return await gateway.submitter.submit("preview", resolved, preferences, request, as_requested=body)


@router.delete("/{id}", name="delete", status_code=204, responses=_MISSING | documented_errors(Conflict))
async def delete_dataset(id: NamePath, gateway: GatewayDep) -> None:
    """Delete a dataset and its clips. Models that were trained on it stay."""
    await gateway.datasets.delete(id)
