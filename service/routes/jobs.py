"""/v1/jobs: look up, list, follow and cancel jobs. Every question is a job, too."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from core.errors import Conflict, InvalidRequest, NotFound, Overloaded, StorageUnavailable, UnknownJob
from core.records import AcceptedJobKind, Job, JobState
from core.state.payloads import PICTURES, payloads_key
from service.bodies.job_types import JOB_EVENT
from service.bodies.schemas import JobPage, JobView
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath
from service.gateway import Gateway
from service.http.downloads import FILE_RESPONSES, RANGE_HEADER, LocalFile, file_response
from service.http.openapi import Responses, another_response, documented_errors
from service.jobs.events import EVENT_ID_PATTERN, resume_after
from service.jobs.repository import Filters

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

AfterQuery = Annotated[
    str | None, Query(description="Only events after the one with this id.", pattern=EVENT_ID_PATTERN)
]
LastEventHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The same as `after`. Browsers send it when they reconnect.",
        pattern=EVENT_ID_PATTERN,
    ),
]
EVENT_RESPONSES: Final[Responses] = documented_errors(InvalidRequest, Overloaded, StorageUnavailable) | {
    200: {
        "description": "Server-sent events. The stream ends after the final state.",
        "content": {
            "text/event-stream": {
                "schema": JOB_EVENT,  # of each event, as tools read OpenAPI 3.1; `itemSchema` comes with 3.2
                "example": 'id: 1700000000000-0\nevent: progress\ndata: {"phase": "training", "epoch": 1.5}\n\n',
            }
        },
    },
    204: {"description": "The job has ended, and no event comes after that one."},
}
WAITED: Final[Responses] = another_response(200, JobView, "With `Prefer: wait=N`: the job, which has succeeded.")
"""What a route that starts background work answers to a client that waits; a failed job is answered with its error."""

_NO_BUFFER = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_jobs(
    gateway: GatewayDep,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[AcceptedJobKind | None, Query(description="Only jobs of this kind.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = 50,
) -> JobPage:
    """Jobs, newest first, without their requests and results."""
    return await gateway.jobs.page(Filters(state, kind), cursor, limit)


@router.get("/{id}", name="get", responses=documented_errors(UnknownJob, StorageUnavailable))
async def get_job(id: NamePath, gateway: GatewayDep) -> JobView:
    """A job with its progress, result or error."""
    return await gateway.jobs.view(await gateway.jobs.get(id))


@router.get(
    "/{id}/events",
    name="events",
    response_class=Response,
    responses=documented_errors(UnknownJob) | EVENT_RESPONSES,
)
async def follow_job(
    id: NamePath, gateway: GatewayDep, after: AfterQuery = None, last_event_id: LastEventHeader = None
) -> Response:
    """A job's events as they happen: all of them, or those after `Last-Event-ID`. A comment is sent every 15 s."""
    await gateway.jobs.record(id)
    return await event_stream(gateway, id, last_event_id, after)


@router.get(
    "/{id}/files/{file}",
    name="file",
    response_class=Response,
    responses=documented_errors(UnknownJob, NotFound, StorageUnavailable) | FILE_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_job_file(id: NamePath, file: NamePath, gateway: GatewayDep) -> Response:
    """A picture of the job's result: `attention.png` of an explanation, `frames.jpg` of frames, `labels.png` of a check
    of labels. It stays as long as the job."""
    await gateway.jobs.record(id)
    missing = NotFound(
        f"The job {id[:80]!r} has no file {file[:80]!r}.",
        hint="An explanation has attention.png once it has succeeded, if its model attends to places; frames "
        "have frames.jpg; a check of labels has labels.png.",
    )
    if file not in PICTURES:
        raise missing
    try:
        return file_response(await LocalFile.open(gateway.payloads.local_file(f"{payloads_key(id)}/{file}")))
    except FileNotFoundError:
        raise missing from None


@router.post(
    "/{id}/cancel",
    name="cancel",
    status_code=202,
    responses=documented_errors(UnknownJob, Conflict, StorageUnavailable),
)
async def cancel_job(id: NamePath, gateway: GatewayDep) -> JobView:
    """Cancel a job. A queued job ends at once; the worker of a running job is told to stop. Repeats change nothing."""
    return await cancel_and_view(gateway, await gateway.jobs.record(id))


async def cancel_and_view(gateway: Gateway, job: Job) -> JobView:
    """Cancelling a second time changes nothing. Raises: Conflict where the job has ended in another way."""
    state = await gateway.jobs.cancel(job)
    job = await gateway.jobs.get(job.id)
    if state is not None and JobState(state).final and job.state is not JobState.CANCELLED:
        raise Conflict(f"The job has already ended: it is {state}.", state=state)
    return await gateway.jobs.view(job)


async def event_stream(gateway: Gateway, job_id: str, last_event_id: str | None, after: str | None) -> Response:
    """Raises: InvalidRequest, Overloaded."""
    start = resume_after(last_event_id, after)
    if start is not None and await gateway.events.is_over(job_id, start):
        return Response(status_code=204)  # tells a browser not to reconnect
    text = await gateway.events.follow(job_id, start)
    return StreamingResponse(text, media_type="text/event-stream", headers=_NO_BUFFER)
