"""/v1/search: stored videos by what they show."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import Cancelled, InvalidRequest, UnknownLabelSet
from core.questions import IndexRequest, Options, SearchRequest, check_options
from core.results import SearchResult
from service.bodies import examples, reader
from service.bodies.questions import IndexBody, SearchBody
from service.bodies.schemas import JobView
from service.dependencies import AdmissionDep, GatewayDep, PreferencesDep
from service.http.openapi import another_response, documented_errors, json_body
from service.jobs.server_timing import TIMED
from service.routes.classify import QUESTION_ERRORS, QUESTION_RESPONSES

router = APIRouter(prefix="/v1/search", tags=["search"])

_ERRORS = tuple(kind for kind in QUESTION_ERRORS if kind is not UnknownLabelSet)


@router.post(
    "",
    name="search",
    response_model=SearchResult,
    responses=TIMED | QUESTION_RESPONSES | documented_errors(*_ERRORS),
    openapi_extra=json_body(SearchBody, examples.SEARCH_EXAMPLES),
)
async def search(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """Stored videos that show what a text says, or that resemble a stored video, and where in them.

    The search is exact, over all windows of the videos that have vectors for the model."""
    body = await reader.read_json_body(request, SearchBody)
    if (body.text is None) == (body.video_id is None):
        raise InvalidRequest("Exactly one of text and video_id is needed.", field="text")
    check_options(Options(templates=body.templates), gateway.limits)
    _check_text(body.text, gateway.limits.max_label_chars)
    model = await admission.admit(body.model)
    asked = SearchRequest(
        text=body.text,
        sha256=None if body.video_id is None else await gateway.videos.use(body.video_id),
        model=body.model,
        templates=body.templates,
        top_k=body.top_k,
        filter=body.filter,
    )
    normalize = model.card.normalizes_labels if model.card else None
    resolved = asked.model_copy(update={"model": model.name, "normalize_labels": normalize} if model.card else {})
    return await gateway.submitter.submit("search", resolved, preferences, request, as_requested=asked)


@router.post(
    "/index",
    name="index",
    status_code=202,
    response_model=JobView,
    responses=another_response(200, JobView, "The finished job, where the request waited for it.")
    | documented_errors(*_ERRORS, Cancelled),
    openapi_extra=json_body(IndexBody, examples.INDEX_EXAMPLES),
)
async def index_videos(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """Make stored videos searchable with a model. Videos that are searchable already cost nothing."""
    body = await reader.read_json_body(request, IndexBody)
    model = await admission.admit(body.model)
    asked = IndexRequest(model=body.model, filter=body.filter)
    resolved = asked.model_copy(update={"model": model.name} if model.card else {})
    return await gateway.submitter.submit("indexing", resolved, preferences, request, as_requested=asked)


def _check_text(text: str | None, most: int) -> None:
    """Raises: InvalidRequest."""
    if text is not None and len(text) > most:
        raise InvalidRequest(
            f"text has {len(text)} characters; at most {most} are allowed.",
            hint="Shorten it: text encoders read a few dozen words at most.",
            field="text",
            limit=most,
        )
