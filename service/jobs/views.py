"""Jobs as the HTTP contract shows them."""

from __future__ import annotations

from typing import Any

import httpx2

from core.records import Job
from core.state import keys
from core.state.queues import QUEUES
from core.uploads.targets import without_secrets
from service.bodies.schemas import ErrorBody, JobLinks, JobSummary, JobView

_INTERNAL = ("archive", "file")  # fields of a request that hold keys of the store, which are not shown


def job_summary(job: Job) -> JobSummary:
    """`job` needs no request and no result."""
    return JobSummary(**_common(job), error=_error(job, "details"))


def job_view(job: Job, progress: dict[str, Any] | None) -> JobView:
    request = None
    if QUEUES[job.kind] != keys.INFERENCE:
        request = {name: value for name, value in job.request.items() if name not in _INTERNAL}
    shown = job.webhook and job.webhook.model_copy(update={"url": without_secrets(httpx2.URL(job.webhook.url))})
    return JobView(
        **_common(job) | {"progress": progress, "webhook": shown},
        error=_error(job),
        request=request,
        result=job.result,
    )


def _common(job: Job) -> dict[str, Any]:
    own = {name: value for name, value in dict(job).items() if name not in ("request", "result", "error")}
    return own | {"links": JobLinks(self=f"/v1/jobs/{job.id}", events=f"/v1/jobs/{job.id}/events")}


def _error(job: Job, *without: str) -> ErrorBody | None:
    if job.error is None:
        return None
    shown = {name: value for name, value in job.error.items() if name not in without}
    return ErrorBody.model_validate(shown | {"request_id": job.request_id})
