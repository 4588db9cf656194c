"""/v1/training-jobs: train a model on a dataset, watch it, stop it, go on."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import (
    Conflict,
    InvalidDataset,
    InvalidRequest,
    InvalidTraining,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    UnknownDataset,
    UnknownJob,
    UnknownModel,
    UnsupportedMedia,
)
from core.training_requests import TrainingRequest
from service.bodies import reader
from service.bodies.schemas import JobPage, JobView, Metrics
from service.checks.training import check_training
from service.dependencies import AcceptingDep, CursorQuery, GatewayDep, LimitQuery
from service.http import openapi
from service.http.envelope import documented
from service.jobs.repository import Filters
from service.routes.jobs import EVENT_ANSWERS, AfterQuery, LastEventHeader, cancelled, event_stream

router = APIRouter(prefix="/v1/training-jobs", tags=["training"])

_MISSING = documented(UnknownJob, StorageUnavailable)


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=documented(
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
    openapi_extra=openapi.json_body(TrainingRequest, openapi.TRAINING),
)
async def create(request: Request, gateway: GatewayDep, accepting: AcceptingDep) -> Response:
    """Train: the result is a new version of the model `name`, with a report.

    The job is accepted where no training worker is running as well; its `progress` says so.
    """
    body = await reader.read_json(request, TrainingRequest)
    check_training(body, await gateway.datasets.get(body.dataset), gateway.limits)
    await gateway.models.check_new_name(body.name)
    base = await gateway.models.choose(body.base)
    return await accepting.accept("training", body.model_copy(update={"base": base.name}), body)


@router.get("", name="list", responses=documented(InvalidRequest, StorageUnavailable))
async def list_training_jobs(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 50) -> JobPage:
    """Training jobs, newest first."""
    return await gateway.jobs.page(Filters(kind="training"), cursor, limit)


@router.get("/{id}", name="get", responses=_MISSING)
async def get_training_job(id: str, gateway: GatewayDep) -> JobView:
    """A training job: how far it is, or its result."""
    return await gateway.jobs.view(await gateway.jobs.get(id, "training"))


@router.get("/{id}/events", name="events", response_class=Response, responses=_MISSING | EVENT_ANSWERS)
async def follow_training_job(
    id: str, gateway: GatewayDep, after: AfterQuery = None, last_event_id: LastEventHeader = None
) -> Response:
    """The job's events as they happen: `state`, `progress`, `metric`, `checkpoint`, `log`."""
    await gateway.jobs.get(id, "training")
    return await event_stream(gateway, id, last_event_id, after)


@router.get("/{id}/metrics", name="metrics", responses=_MISSING)
async def get_metrics(id: str, gateway: GatewayDep) -> Metrics:
    """The metrics of every epoch so far."""
    await gateway.jobs.get(id, "training")
    return Metrics(data=await gateway.events.metrics(id))


@router.post("/{id}/cancel", name="cancel", status_code=202, responses=_MISSING | documented(Conflict))
async def cancel_training_job(id: str, gateway: GatewayDep) -> JobView:
    """Stop a run: within seconds it leaves a checkpoint, from which it can be resumed."""
    return await cancelled(gateway, await gateway.jobs.get(id, "training"))


@router.post("/{id}/resume", name="resume", status_code=202, responses=_MISSING | documented(Conflict))
async def resume_training_job(id: str, gateway: GatewayDep) -> JobView:
    """Go on with a run that was cancelled or has failed, from its last checkpoint."""
    job = await gateway.jobs.resume(await gateway.jobs.get(id, "training"))
    return await gateway.jobs.view(job)
