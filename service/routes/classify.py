"""POST /v1/classify: scores a video against labels."""

from __future__ import annotations

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
    VideoGone,
    VideoTooLarge,
    WorkerUnavailable,
)
from core.questions import ClassifyRequest
from core.records import Classification
from service.bodies import examples, reader
from service.bodies.questions import ClassifyBody
from service.bodies.schemas import JobView
from service.checks.questions import check_question
from service.checks.resolution import resolve_question
from service.dependencies import AdmissionDep, GatewayDep, PreferencesDep, VideoUploadDep
from service.http.openapi import Responses, documented_errors, json_or_form_body
from service.jobs.server_timing import TIMED

QUESTION_ERRORS = (
    InvalidRequest,
    InvalidLabels,
    UnknownModel,
    UnknownLabelSet,
    UnknownVideo,
    Conflict,
    VideoGone,
    RequestTooLarge,
    UnsupportedMedia,
    QueueFull,
    ModelUnavailable,
    WorkerUnavailable,
    StorageUnavailable,
)
VIDEO_ERRORS = (UndecodableVideo, VideoTooLarge, UrlNotAllowed, UrlUnreachable)

QUESTION_RESPONSES: Responses = {
    202: {
        "model": JobView,
        "description": "The unfinished job: at once with `Prefer: respond-async`, otherwise after the deadline.",
        "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}},
    }
}

router = APIRouter(tags=["classify"])


@router.post(
    "/v1/classify",
    name="classify",
    response_model=Classification,
    responses=TIMED | QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS, *VIDEO_ERRORS),
    openapi_extra=json_or_form_body(ClassifyBody, examples.CLASSIFY_EXAMPLES, file=True),
)
async def classify_upload(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep, upload: VideoUploadDep
) -> Response:
    """Score a video against your own labels.

    The answer has the scores. After the server's deadline, or with `Prefer: respond-async`, it is 202 with the job. If
    the client disconnects, the job is cancelled, unless the client sent an `Idempotency-Key`.
    """

    async def preview(body: ClassifyBody) -> None:
        check_question(body, gateway.limits)
        await admission.admit(body.model, before_upload=True)

    body = await reader.read_body(request, ClassifyBody, upload, preview)
    resolved = await resolve_question(body, gateway, admission)
    async with gateway.sources.asked(body, upload) as video:
        return await gateway.submitter.submit(
            "classification",
            ClassifyRequest(sha256=video.sha256, url=video.url, question=resolved.question, shadow=resolved.shadow),
            preferences,
            request,
            as_requested=ClassifyRequest(sha256=video.sha256, url=video.url, question=resolved.as_requested),
        )
