"""/v1/training-jobs: train a model on a dataset; follow, cancel and resume the run."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import (
    Cancelled,
    Conflict,
    InvalidDataset,
    InvalidRequest,
    InvalidTraining,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    TrainingFailed,
    UnknownDataset,
    UnknownJob,
    UnknownModel,
    UnsupportedMedia,
)
from core.training_requests import TrainingRequest
from service.bodies import examples, reader
from service.bodies.schemas import JobPage, JobView, Metrics
from service.checks.training import check_training
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath, PreferencesDep
from service.http.openapi import documented_errors, json_body
from service.jobs.repository import Filters
from service.routes.jobs import EVENT_RESPONSES, WAITED, AfterQuery, LastEventHeader, cancel_and_view, event_stream

router = APIRouter(prefix="/v1/training-jobs", tags=["training"])

_MISSING = documented_errors(UnknownJob, StorageUnavailable)


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=WAITED
    | documented_errors(
        TrainingFailed,
        Cancelled,
        InvalidRequest,
        InvalidTraining,
        InvalidDataset,
        UnknownDataset,
        UnknownModel,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=json_body(TrainingRequest, examples.TRAINING_EXAMPLES),
)
async def create_training_job(request: Request, gateway: GatewayDep, preferences: PreferencesDep) -> Response:
    """Train a model. The result is a new version of the model `name`, with a report.

    The job is accepted even if no training worker is running; then its `progress` says so.
    """
    body = await reader.read_json_body(request, TrainingRequest)
    check_training(body, await gateway.datasets.get(body.dataset), gateway.limits)
    await gateway.models.check_new_name(body.name)
    base = await gateway.models.resolve(body.base)
    await gateway.models.check_carries(body.method, body.online_text, base)
    resolved = body.model_copy(update={"base": base.name})
    return await gateway.submitter.submit("training", resolved, preferences, request, as_requested=body)


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_training_jobs(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 50) -> JobPage:
    """Training jobs, newest first, without their requests and results."""
    return await gateway.jobs.page(Filters(kind="training"), cursor, limit)


@router.get("/{id}", name="get", responses=_MISSING)
async def get_training_job(id: NamePath, gateway: GatewayDep) -> JobView:
    """A training job with its progress, or its result."""
    return await gateway.jobs.view(await gateway.jobs.get(id, "training"))


@router.get("/{id}/events", name="events", response_class=Response, responses=_MISSING | EVENT_RESPONSES)
async def follow_training_job(
    id: NamePath, gateway: GatewayDep, after: AfterQuery = None, last_event_id: LastEventHeader = None
) -> Response:
    """The job's events as they happen: `state`, `progress`, `metric`, `checkpoint`, `log`."""
    await gateway.jobs.record(id, "training")
    return await event_stream(gateway, id, last_event_id, after)


@router.get("/{id}/metrics", name="metrics", responses=_MISSING)
async def get_metrics(id: NamePath, gateway: GatewayDep) -> Metrics:
    """The metrics of every epoch so far."""
    await gateway.jobs.record(id, "training")
    return Metrics(data=await gateway.events.metrics(id))


@router.post("/{id}/cancel", name="cancel", status_code=202, responses=_MISSING | documented_errors(Conflict))
async def cancel_training_job(id: NamePath, gateway: GatewayDep) -> JobView:
    """Stop a run. It saves a checkpoint within seconds, from which it can be resumed."""
    return await cancel_and_view(gateway, await gateway.jobs.record(id, "training"))


@router.post("/{id}/resume", name="resume", status_code=202, responses=_MISSING | documented_errors(Conflict))
async def resume_training_job(id: NamePath, gateway: GatewayDep) -> JobView:
    """Continue a cancelled or failed run from its last checkpoint."""
    job = await gateway.jobs.resume(await gateway.jobs.record(id, "training"))
    return await gateway.jobs.view(job)
