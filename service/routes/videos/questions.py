"""/v1/videos/{id}/…: questions about a stored video, without upload and mostly without decoding."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from core.errors import InvalidRequest
from core.questions import ClassifyRequest, ExplainRequest, FramesRequest
from core.records import Classification, Explanation, FrameSheet
from service.bodies import examples, reader
from service.bodies.questions import ExplainBody, FramesBody, QuestionBody, TimelineBody
from service.bodies.validation import similar_names
from service.checks.admission import Admission
from service.checks.resolution import resolve_question
from service.dependencies import AdmissionDep, GatewayDep, NamePath, PreferencesDep, VideoUploadDep
from service.gateway import Gateway
from service.http.openapi import documented_errors, json_body, json_or_form_body
from service.http.preferences import Preferences
from service.jobs.server_timing import TIMED
from service.routes.classify import QUESTION_ERRORS, QUESTION_RESPONSES

router = APIRouter(prefix="/v1/videos", tags=["videos"])


@router.post(
    "/{id}/classify",
    name="classify",
    response_model=Classification,
    responses=TIMED | QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_or_form_body(QuestionBody, examples.QUESTION_EXAMPLES, file=False),
)
async def classify_video(
    id: NamePath,
    request: Request,
    gateway: GatewayDep,
    preferences: PreferencesDep,
    admission: AdmissionDep,
    upload: VideoUploadDep,
) -> Response:
    """Score a stored video against labels. A video that is asked about again is not decoded again."""
    body = await reader.read_body(request, QuestionBody, upload, _no_preview)
    return await _ask(body, id, request, gateway, preferences, admission)


async def _ask(
    body: QuestionBody, id: str, request: Request, gateway: Gateway, preferences: Preferences, admission: Admission
) -> Response:
    resolved = await resolve_question(body, gateway, admission)
    sha256 = await gateway.videos.use(id)
    return await gateway.submitter.submit(
        "classification",
        ClassifyRequest(sha256=sha256, question=resolved.question, shadow=resolved.shadow),
        preferences,
        request,
        as_requested=ClassifyRequest(sha256=sha256, question=resolved.as_requested),
    )


@router.post(
    "/{id}/timeline",
    name="timeline",
    response_model=Classification,
    responses=TIMED | QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_or_form_body(TimelineBody, examples.TIMELINE_EXAMPLES, file=False),
)
async def video_timeline(
    id: NamePath,
    request: Request,
    gateway: GatewayDep,
    preferences: PreferencesDep,
    admission: AdmissionDep,
    upload: VideoUploadDep,
) -> Response:
    """When each label is seen: its similarity over time, and segments. Asked again, the video is not decoded again."""
    body = await reader.read_body(request, TimelineBody, upload, _no_preview)
    return await _ask(body.question(), id, request, gateway, preferences, admission)


@router.post(
    "/{id}/explain",
    name="explain",
    response_model=Explanation,
    responses=TIMED | QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_body(ExplainBody, examples.EXPLAIN_EXAMPLES),
)
async def explain_video(
    id: NamePath, request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """Why a label gets its score: what each frame adds, and a picture of where the image tower looks."""
    body = await reader.read_json_body(request, ExplainBody)
    resolved = await resolve_question(body.question(), gateway, admission)
    _check_label(body.label, [label.name for label in resolved.question.labels])
    sha256 = await gateway.videos.use(id)
    return await gateway.submitter.submit(
        "explanation",
        ExplainRequest(sha256=sha256, question=resolved.question, label=body.label),
        preferences,
        request,
        as_requested=ExplainRequest(sha256=sha256, question=resolved.as_requested, label=body.label),
    )


@router.post(
    "/{id}/frames",
    name="frames",
    response_model=FrameSheet,
    responses=QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_body(FramesBody, examples.FRAMES_EXAMPLES),
)
async def video_frames(
    id: NamePath, request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """The frames that a model looks at, cropped and scaled as it sees them, as one picture."""
    body = await reader.read_json_body(request, FramesBody)
    model = await admission.admit(body.model)
    sha256 = await gateway.videos.use(id)
    as_requested = FramesRequest(sha256=sha256, model=body.model, frames=body.frames)
    return await gateway.submitter.submit(
        "frames",
        as_requested.model_copy(update={"model": model.name}),
        preferences,
        request,
        as_requested=as_requested,
    )


def _check_label(label: str | None, labels: list[str]) -> None:
    """Raises: InvalidRequest for a label that the question does not ask about."""
    if label is not None and label not in labels:
        raise InvalidRequest(
            f"label {label[:80]!r} is not among the labels of the question.",
            hint="Give one of them as it is written there.",
            field="label",
            nearest=similar_names(label, labels, 80),
        )


async def _no_preview(_: BaseModel) -> None:
    """The request has no file, so an early check would save nothing."""
