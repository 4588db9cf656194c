"""POST /v1/classify: a video and labels, scores back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from core.errors import (
    Conflict,
    InvalidLabels,
    InvalidRequest,
    ModelUnavailable,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    UndecodableVideo,
    UnknownLabelSet,
    UnknownModel,
    UnknownVideo,
    UnsupportedMedia,
    UrlNotAllowed,
    UrlUnreachable,
    VideoTooLarge,
    WorkerUnavailable,
)
from core.questions import ClassifyRequest
from core.records import Classification
from service.bodies import reader
from service.bodies.schemas import ClassifyBody, JobView
from service.dependencies import AskingDep, PlaceDep
from service.http import openapi
from service.http.envelope import documented

ASKING_ERRORS = (
    InvalidRequest,
    InvalidLabels,
    UnknownModel,
    UnknownLabelSet,
    UnknownVideo,
    Conflict,
    RequestTooLarge,
    UnsupportedMedia,
    QueueFull,
    ModelUnavailable,
    WorkerUnavailable,
    StorageUnavailable,
)
VIDEO_ERRORS = (UndecodableVideo, VideoTooLarge, UrlNotAllowed, UrlUnreachable)

ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobView,
        "description": "Not finished yet: the job to ask for, at once (`Prefer: respond-async`) or after the deadline.",
        "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}},
    }
}

router = APIRouter(tags=["classify"])


@router.post(
    "/v1/classify",
    name="classify",
    response_model=Classification,
    responses=ANSWERS | documented(*ASKING_ERRORS, *VIDEO_ERRORS),
    openapi_extra=openapi.request_body(ClassifyBody, openapi.CLASSIFY, file=True),
)
async def classify(request: Request, asking: AskingDep, place: PlaceDep) -> Response:
    """Score a video against your own labels.

    Waits for the answer; after the server's deadline, or with `Prefer: respond-async`, it is 202 with the job. A
    client that goes away cancels its job, unless it sent an `Idempotency-Key`.
    """

    async def preview(body: ClassifyBody) -> None:
        asking.check(body)
        await asking.admit(body.model, before_upload=True)

    body = await reader.read(request, ClassifyBody, place, preview)
    question, meant = await asking.question(body)
    sha256 = await asking.video(body, place)
    return await asking.answer(
        "classify",
        ClassifyRequest(sha256=sha256, question=question),
        ClassifyRequest(sha256=sha256, question=meant),
    )
