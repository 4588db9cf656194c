"""Jobs as the HTTP contract shows them."""

from __future__ import annotations

from typing import Any

from core.records import Job
from core.state import keys
from core.state.queues import QUEUES
from service.bodies.schemas import ErrorBody, JobLinks, JobView

_INTERNAL = ("archive", "file")  # fields of a request that hold keys of the store, which are not shown


def job_view(job: Job, progress: dict[str, Any] | None) -> JobView:
    request = None
    if QUEUES[job.kind] != keys.INFERENCE:
        request = {name: value for name, value in job.request.items() if name not in _INTERNAL}
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        request=request,
        progress=progress,
        result=job.result,
        error=ErrorBody.model_validate(job.error) if job.error else None,
        attempts=job.attempts,
        links=JobLinks(self=f"/v1/jobs/{job.id}", events=f"/v1/jobs/{job.id}/events"),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )
