"""/v1/feedback: what people say that videos show."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from core.errors import (
    Conflict,
    InvalidLabels,
    InvalidRequest,
    RequestTooLarge,
    StorageUnavailable,
    UnknownFeedback,
    UnknownJob,
    UnknownModel,
    UnknownVideo,
    UnsupportedMedia,
    VireoError,
)
from core.feedback.record import Feedback, FeedbackFilter
from core.questions import LONGEST_REFERENCE, LONGEST_TEXT
from core.records import StoredVideo
from service.bodies import examples, reader
from service.bodies.feedback.bodies import (
    MOST_PROBLEMS,
    FeedbackBody,
    FeedbackPage,
    FeedbackView,
    ImportProblem,
    ImportReport,
)
from service.bodies.feedback.label_studio import read_tasks, write_tasks
from service.bodies.feedback.rows import MOST_TASKS, ImportedFile, ImportRow, Unreadable
from service.bodies.feedback.table import read_table, write_table
from service.bodies.json_reader import parse_json
from service.bodies.schemas import Links
from service.catalog.feedback import Wanted
from service.checks.feedback import FeedbackCheck
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath
from service.gateway import Gateway
from service.http.openapi import another_response, documented_errors, json_body

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

Format = Literal["label-studio", "csv"]

LabelQuery = Annotated[
    str | None, Query(min_length=1, max_length=LONGEST_TEXT, description="Only feedback with this label.")
]
VideoQuery = Annotated[str | None, Query(pattern=r"^vid_[0-9a-f]{64}$", description="Only feedback about this video.")]
ModelQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=LONGEST_REFERENCE,
        description="Only feedback about answers of this model: `lite`, `my-gym` (all versions) or `my-gym:3`.",
    ),
]
ConfirmedQuery = Annotated[
    bool | None, Query(description="Only answers that were confirmed (true) or corrected (false).")
]

_TASKS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}}
_SENT_TASKS: Final = {  # what is no task is reported with its place, so it keeps the others not out
    "type": "array",
    "items": {"description": "A task of Label Studio, as its export in the format JSON has it."},
    "maxItems": MOST_TASKS,
}
_TABLE: Final[dict[str, Any]] = {"type": "string"}
_EXPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {"application/json": {"schema": _TASKS}, "text/csv": {"schema": _TABLE}},
    }
}
_IMPORT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SENT_TASKS,
                "examples": {"Label Studio": {"value": examples.TASKS_EXAMPLE}},
            },
            "text/csv": {"schema": _TABLE, "examples": {"a table": {"value": "video,label\nvid_6f3a…,a cat\n"}}},
        },
    }
}


@router.post(
    "",
    name="add",
    status_code=201,
    response_model=FeedbackView,
    responses=another_response(200, FeedbackView, "There was feedback about this video or part; this counts from now.")
    | documented_errors(
        InvalidRequest,
        InvalidLabels,
        UnknownJob,
        UnknownVideo,
        UnknownModel,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        StorageUnavailable,
    ),
    openapi_extra=json_body(FeedbackBody, examples.FEEDBACK_EXAMPLES),
)
async def add_feedback(request: Request, gateway: GatewayDep) -> Response:
    """Confirm or correct an answer, or say what a stored video or a part of it shows. The video is kept from now on.

    There is one feedback per video and span. The latest statement counts; those before it are its history.
    """
    body = await reader.read_json_body(request, FeedbackBody)
    said, revision = await gateway.feedback.add(await FeedbackCheck(gateway).statement(body))
    view = (await _views([said], gateway))[0]
    return JSONResponse(view.model_dump(mode="json"), 201 if revision == 1 else 200, {"Location": view.links.self})


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_feedback_list(
    gateway: GatewayDep,
    label: LabelQuery = None,
    video: VideoQuery = None,
    model: ModelQuery = None,
    confirmed: ConfirmedQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = 100,
) -> FeedbackPage:
    """Feedback, the latest first. A page of a filtered list may be short; the last page has no `next`."""
    found, following = await gateway.feedback.page(_wanted(label, video, model, confirmed), cursor, limit)
    return FeedbackPage(data=await _views(found, gateway), next=following)


@router.get(
    "/export",
    name="export",
    response_class=Response,
    responses=_EXPORT | documented_errors(InvalidRequest, StorageUnavailable),
)
async def export_feedback(
    request: Request,
    gateway: GatewayDep,
    format: Annotated[Format, Query(description="Tasks of Label Studio as JSON, or a CSV.")] = "label-studio",
    label: LabelQuery = None,
    video: VideoQuery = None,
    model: ModelQuery = None,
    confirmed: ConfirmedQuery = None,
) -> Response:
    """All feedback as a file that labelling tools and spreadsheets read, and that `POST /v1/feedback/import` takes."""
    found = [each async for each in gateway.feedback.all(_wanted(label, video, model, confirmed))]
    if format == "csv":
        text, kind, name = await asyncio.to_thread(write_table, found), "text/csv; charset=utf-8", "feedback.csv"
    else:
        server = str(request.base_url).rstrip("/")
        videos = await gateway.videos.read_all(list({each.sha256 for each in found}))
        text, kind, name = await asyncio.to_thread(_tasks, found, videos, server), "application/json", "feedback.json"
    return Response(text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.post(
    "/import",
    name="import",
    responses=documented_errors(InvalidRequest, RequestTooLarge, UnsupportedMedia, StorageUnavailable),
    openapi_extra=_IMPORT,
)
async def import_feedback(request: Request, gateway: GatewayDep) -> ImportReport:
    """Take over a JSON export of Label Studio, or a CSV with the columns `video` and `label`.

    A statement that cannot be used is reported and does not keep the others out. One that says what is known changes
    nothing."""
    check, file = FeedbackCheck(gateway), await _read_file(request)
    imported = unchanged = 0
    problems: list[ImportProblem] = []
    for row in file.rows:
        try:
            changed = await _take(row, check, gateway)
        except VireoError as error:
            if error.status >= 500:
                raise
            problems.append(ImportProblem(where=row.where, code=error.code, message=error.message))
        else:
            imported, unchanged = imported + changed, unchanged + (not changed)
    return ImportReport(
        imported=imported,
        unchanged=unchanged,
        skipped=file.skipped,
        failed=len(problems),
        problems=problems[:MOST_PROBLEMS],
    )


@router.get("/{id}", name="get", responses=documented_errors(UnknownFeedback, StorageUnavailable))
async def get_feedback(id: NamePath, gateway: GatewayDep) -> FeedbackView:
    """What was said about a video or a part of it, with what was said before."""
    view = (await _views([await gateway.feedback.get(id)], gateway))[0]
    return view.model_copy(update={"history": await gateway.feedback.history(id)})


@router.delete(
    "/{id}", name="delete", status_code=204, responses=documented_errors(UnknownFeedback, StorageUnavailable)
)
async def delete_feedback(id: NamePath, gateway: GatewayDep) -> None:
    """Delete feedback with its history. Its video stays, and stays kept."""
    await gateway.feedback.delete(id)


def _wanted(label: str | None, video: str | None, model: str | None, confirmed: bool | None) -> Wanted:
    filter = FeedbackFilter(labels=None if label is None else (label,), model=model, confirmed=confirmed)
    return Wanted(filter, video and video.removeprefix("vid_"))


async def _views(found: list[Feedback], gateway: Gateway) -> list[FeedbackView]:
    kept = await gateway.feedback.kept([each.sha256 for each in found])
    return [
        FeedbackView(**each.model_dump(), video_kept=stays, links=Links(self=f"/v1/feedback/{each.id}"))
        for each, stays in zip(found, kept, strict=True)
    ]


def _tasks(found: list[Feedback], videos: dict[str, StoredVideo], server: str) -> str:
    return json.dumps(write_tasks(found, videos, server), ensure_ascii=False, indent=1)


async def _read_file(request: Request) -> ImportedFile:
    """Raises: UnsupportedMedia, RequestTooLarge, InvalidRequest."""
    kind = reader.content_kind(request)
    if kind != "text/csv" and not reader.has_json_body(request):
        raise UnsupportedMedia(
            f"The body has the type {kind or '(none)'}; it must be application/json (Label Studio) or text/csv.",
            hint="With curl: -H 'content-type: text/csv' --data-binary @feedback.csv.",
        )
    text = await reader.read_bytes(request)
    if kind == "text/csv":
        return await asyncio.to_thread(read_table, text)
    return await asyncio.to_thread(lambda: read_tasks(parse_json(text)))


async def _take(row: ImportRow | Unreadable, check: FeedbackCheck, gateway: Gateway) -> bool:
    """Whether it says something new. Raises: VireoError where it cannot be used."""
    if isinstance(row, Unreadable):
        raise InvalidRequest(row.message)
    said = await check.imported(row)
    return said is not None and bool((await gateway.feedback.add(said))[1])
