"""/v1/batches: one question about many videos."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from core.batches.files import BatchFiles
from core.batches.request import BatchRequest
from core.batches.rows import as_csv
from core.errors import (
    Cancelled,
    InvalidRequest,
    RequestTooLarge,
    StorageUnavailable,
    UnknownJob,
    UnknownVideo,
    VideoGone,
)
from core.uploads.sink import Upload
from service.bodies import examples, reader
from service.bodies.questions import BatchBody, BatchFileBody, QuestionBody
from service.bodies.schemas import JobView
from service.checks.questions import check_question
from service.checks.resolution import resolve_question
from service.dependencies import AdmissionDep, GatewayDep, ManifestUploadDep, NamePath, PreferencesDep
from service.http.openapi import documented_errors, json_or_file_body
from service.routes.classify import QUESTION_ERRORS
from service.routes.jobs import WAITED

router = APIRouter(prefix="/v1/batches", tags=["batches"])

_ERRORS = tuple(kind for kind in QUESTION_ERRORS if kind not in (UnknownVideo, VideoGone))
_TYPES: Final = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
_CHUNK: Final = 100  # rows that are sent together

FormatQuery = Annotated[Literal["jsonl", "csv"], Query(description="`jsonl`: all of each row; `csv`: its best label.")]


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=WAITED | documented_errors(*_ERRORS, Cancelled),
    openapi_extra=json_or_file_body(
        BatchBody, examples.BATCH_EXAMPLES, BatchFileBody, "manifest", examples.BATCH_UPLOAD_EXAMPLE
    ),
)
async def create_batch(
    request: Request,
    gateway: GatewayDep,
    preferences: PreferencesDep,
    admission: AdmissionDep,
    upload: ManifestUploadDep,
) -> Response:
    """Ask one question about many videos. A job of kind `batch` asks a few at a time, so that other questions keep
    their place.

    The videos are `items` of a JSON body, or the lines of a manifest: JSONL, or CSV with a header. A form sends it as
    the file `manifest`. It may be the whole body as well; then the question is in the query.
    """

    async def preview(body: BatchFileBody) -> None:
        check_question(body, gateway.limits)
        await admission.admit(body.model, before_upload=True)

    asked: QuestionBody
    if reader.has_json_body(request):
        asked = body = await reader.read_json_body(request, BatchBody, query=BatchFileBody)
        await _write_manifest(body, upload, gateway.settings.max_batch_items)
    else:
        form = await reader.read_file_body(request, BatchFileBody, upload, preview)
        asked = form
    resolved = await resolve_question(asked, gateway, admission)
    if upload.staged is None:
        raise upload.kind.missing()
    sha256 = upload.staged.sha256
    return await gateway.submitter.submit(
        "batch",
        BatchRequest(manifest_sha256=sha256, question=resolved.question),
        preferences,
        request,
        as_requested=BatchRequest(manifest_sha256=sha256, question=resolved.as_requested),
        manifest=upload.staged,
    )


@router.get("/{id}", name="get", responses=documented_errors(UnknownJob, StorageUnavailable))
async def get_batch(id: NamePath, gateway: GatewayDep) -> JobView:
    """A batch: its job, with how many of its videos are done."""
    return await gateway.jobs.view(await gateway.jobs.get(id, "batch"))


@router.get(
    "/{id}/results",
    name="results",
    response_class=Response,
    responses=documented_errors(InvalidRequest, UnknownJob, StorageUnavailable)
    | {
        200: {
            "description": "One row per item, in the order of the manifest.",
            "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in _TYPES.values()},
        }
    },
)
async def get_results(id: NamePath, gateway: GatewayDep, format: FormatQuery = "jsonl") -> Response:
    """The rows that are ready, also while the batch runs and after it was cancelled: the answer about each video, or
    its error."""
    job = await gateway.jobs.record(id, "batch")
    rows = BatchFiles(gateway.payloads, job.id).rows()
    chunks = _chunks(f"{row}\n" for row in rows) if format == "jsonl" else _chunks(as_csv(rows))
    first = await asyncio.to_thread(next, chunks, "")  # an error of the store is an answer, not a broken stream
    return StreamingResponse(_all(first, chunks), media_type=_TYPES[format], headers={"Cache-Control": "no-store"})


async def _write_manifest(body: BatchBody, upload: Upload, most: int) -> None:
    """Raises: RequestTooLarge, StorageUnavailable."""
    if len(body.items) > most:
        raise RequestTooLarge(
            f"The batch has {len(body.items)} items; at most {most} are allowed.",
            hint="Split it over several batches, or raise VIREO_MAX_BATCH_ITEMS.",
            limit=most,
        )
    sink = await upload.open()
    for item in body.items:
        await sink.write(f"{json.dumps(item)}\n".encode())
    await sink.flush()


def _chunks(lines: Iterator[str]) -> Iterator[str]:
    while chunk := "".join(islice(lines, _CHUNK)):
        yield chunk


def _all(first: str, chunks: Iterator[str]) -> Iterator[str]:
    yield first
    yield from chunks
