"""/v1/datasets: labelled videos to train and evaluate on, checked before anything is trained."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.datasets import DatasetRequest
from core.errors import (
    Conflict,
    InvalidArchive,
    InvalidRequest,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    UnknownDataset,
    UnsupportedMedia,
)
from service.bodies import reader
from service.bodies.schemas import DatasetBody, DatasetPage, DatasetView, JobView
from service.dependencies import AcceptingDep, ArchiveDep, CursorQuery, GatewayDep, LimitQuery
from service.http import openapi
from service.http.envelope import documented

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_MISSING = documented(UnknownDataset, StorageUnavailable)


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=documented(
        InvalidRequest, InvalidArchive, RequestTooLarge, UnsupportedMedia, Conflict, QueueFull, StorageUnavailable
    ),
    openapi_extra=openapi.file_body(DatasetBody, "archive", openapi.DATASET),
)
async def create(request: Request, accepting: AcceptingDep, place: ArchiveDep) -> Response:
    """Send a zip or tar of labelled videos: a folder per class, or `manifest.csv`/`.jsonl` with `path,label[,split]`.

    A form with the file `archive`, or the file itself as the body. It is checked by a job of kind `dataset`, whose
    result names the dataset and what was found.
    """

    async def preview(_: DatasetBody) -> None:
        await accepting.check_upload("dataset")

    body = await reader.read_file(request, DatasetBody, place, preview)
    name = body.name or PurePosixPath(place.filename.replace("\\", "/")).stem[:200] or "dataset"
    asked = {"name": name, "split_seed": body.split_seed, "val_fraction": body.val_fraction}
    return await accepting.accept_file("dataset", place, lambda key: DatasetRequest(archive=key, **asked))


@router.get("", name="list", responses=documented(InvalidRequest, StorageUnavailable))
async def list_datasets(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> DatasetPage:
    """Datasets by id, without their clips."""
    return await gateway.datasets.page(cursor, limit)


@router.get("/{id}", name="get", responses=_MISSING)
async def get_dataset(
    id: str, gateway: GatewayDep, items: Annotated[bool, Query(description="Every clip as well.")] = False
) -> DatasetView:
    """Classes, splits, and the report of what was found."""
    return await gateway.datasets.show(id, items=items)


@router.delete("/{id}", name="delete", status_code=204, responses=_MISSING | documented(Conflict))
async def delete_dataset(id: str, gateway: GatewayDep) -> None:
    """Delete a dataset and its clips. Models that were trained on it stay."""
    await gateway.datasets.delete(id)
