"""/v1/evaluations: how well a model does on a dataset, by the papers' protocols."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import (
    Conflict,
    InvalidLabels,
    InvalidRequest,
    NotFound,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    UnknownDataset,
    UnknownModel,
    UnsupportedMedia,
)
from core.training_requests import EvaluationRequest
from service.bodies import reader
from service.bodies.schemas import JobView
from service.catalog import reports as evaluations
from service.checks.training import check_evaluation
from service.dependencies import AcceptingDep, GatewayDep
from service.http import openapi, report_files
from service.http.envelope import documented

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])

_MISSING = documented(NotFound, StorageUnavailable)


@router.post(
    "",
    name="create",
    status_code=202,
    response_model=JobView,
    responses=documented(
        InvalidRequest,
        InvalidLabels,
        UnknownDataset,
        UnknownModel,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=openapi.json_body(EvaluationRequest, openapi.EVALUATION),
)
async def create(request: Request, gateway: GatewayDep, accepting: AcceptingDep) -> Response:
    """Evaluate a model on a dataset. The job's result has the metrics, each named, and links the report."""
    body = await reader.read_json(request, EvaluationRequest)
    dataset = await gateway.datasets.get(body.dataset)
    chosen = await gateway.models.choose(body.model)
    check_evaluation(body, dataset, chosen.card, gateway.limits)
    return await accepting.accept("evaluation", body.model_copy(update={"model": chosen.name}), body)


@router.get("/{id}/report", name="report", response_class=Response, responses=_MISSING | report_files.PAGE)
async def report(id: str, gateway: GatewayDep) -> Response:
    """The report as one page. It outlives the job."""
    return report_files.answer(await evaluations.file(gateway.store, id, "report.html"))


@router.get("/{id}/files/{file}", name="file", response_class=Response, responses=_MISSING | report_files.FILE)
async def report_file(id: str, file: str, gateway: GatewayDep) -> Response:
    """A file of the report: `report.json`, `report.html`, or one of its pictures."""
    return report_files.answer(await evaluations.file(gateway.store, id, file))
