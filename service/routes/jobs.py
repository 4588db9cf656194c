"""/v1/jobs: every question is a job; here it is looked up, listed, cancelled."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from core.errors import Conflict, InvalidRequest, StorageUnavailable, UnknownJob
from core.records import JobKind, JobState
from service.deps import CursorQuery, GatewayDep, LimitQuery
from service.envelope import documented
from service.jobs import Filters
from service.schemas import JobPage, JobView

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


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


@router.post(
    "/{id}/cancel", name="cancel", status_code=202, responses=documented(UnknownJob, Conflict, StorageUnavailable)
)
async def cancel_job(id: str, gateway: GatewayDep) -> JobView:
    """Cancel a job: one that waits ends now, one that runs is told to stop."""
    state = await gateway.jobs.cancel(id)
    job = await gateway.jobs.get(id)
    if state is not None and JobState(state).final:
        raise Conflict(f"The job has ended already: it is {state}.", state=state)
    return await gateway.jobs.view(job)
