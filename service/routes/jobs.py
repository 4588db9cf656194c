"""/v1/jobs: every question is a job; here it is looked up, listed, watched, cancelled."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from core.errors import Conflict, InvalidRequest, StorageUnavailable, UnknownJob
from core.records import Job, JobKind, JobState
from service.bodies.schemas import JobPage, JobView
from service.dependencies import CursorQuery, GatewayDep, LimitQuery
from service.gateway import Gateway
from service.http.envelope import documented
from service.jobs.events import position
from service.jobs.repository import Filters

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

AfterQuery = Annotated[str | None, Query(description="Only events after the one with this id.", max_length=50)]
LastEventHeader = Annotated[
    str | None, Header(description="The same as `after`; browsers send it when they come back.", max_length=50)
]
EVENT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = documented(InvalidRequest) | {
    200: {
        "description": "Server-sent events. The stream ends after the final state.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1700000000000-0\nevent: progress\ndata: {"phase": "training", "epoch": 1.5}\n\n',
            }
        },
    },
    204: {"description": "The job has ended and nothing comes after that event."},
}
_NO_BUFFER = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("", name="list", responses=documented(InvalidRequest, StorageUnavailable))
async def list_jobs(
    gateway: GatewayDep,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[JobKind | None, Query(description="Only jobs of this kind.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = 50,
) -> JobPage:
    """Jobs, newest first."""
    return await gateway.jobs.page(Filters(state, kind), cursor, limit)


@router.get("/{id}", name="get", responses=documented(UnknownJob, StorageUnavailable))
async def get_job(id: str, gateway: GatewayDep) -> JobView:
    """A job with its result or error."""
    return await gateway.jobs.view(await gateway.jobs.get(id))


@router.get(
    "/{id}/events",
    name="events",
    response_class=Response,
    responses=documented(UnknownJob, StorageUnavailable) | EVENT_ANSWERS,
)
async def follow_job(
    id: str, gateway: GatewayDep, after: AfterQuery = None, last_event_id: LastEventHeader = None
) -> Response:
    """A job's events as they happen, from the first on or after `Last-Event-ID`; a comment every 15 s."""
    await gateway.jobs.get(id)
    return await event_stream(gateway, id, last_event_id, after)


@router.post(
    "/{id}/cancel", name="cancel", status_code=202, responses=documented(UnknownJob, Conflict, StorageUnavailable)
)
async def cancel_job(id: str, gateway: GatewayDep) -> JobView:
    """Cancel a job: one that waits ends now, one that runs is told to stop."""
    return await cancelled(gateway, await gateway.jobs.get(id))


async def cancelled(gateway: Gateway, job: Job) -> JobView:
    """Raises: Conflict where it has ended already."""
    state = await gateway.jobs.cancel(job)
    job = await gateway.jobs.get(job.id)
    if state is not None and JobState(state).final:
        raise Conflict(f"The job has ended already: it is {state}.", state=state)
    return await gateway.jobs.view(job)


async def event_stream(gateway: Gateway, job_id: str, last_event_id: str | None, after: str | None) -> Response:
    """Raises: InvalidRequest, StorageUnavailable."""
    start = position(last_event_id, after)
    if start is not None and await gateway.events.is_over(job_id, start):
        return Response(status_code=204)  # tells a browser not to come back again
    text = await gateway.events.follow(job_id, start)
    return StreamingResponse(text, media_type="text/event-stream", headers=_NO_BUFFER)
