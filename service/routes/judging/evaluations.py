"""/v1/evaluations: measure a model on a dataset by the protocols of the papers."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import (
    Cancelled,
    Conflict,
    InvalidDataset,
    InvalidLabels,
    InvalidRequest,
    InvalidTraining,
    NotFound,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    TrainingFailed,
    UnknownDataset,
    UnknownModel,
    UnsupportedMedia,
)
from core.protocols.catalogue import protocol_of
from core.registry import REPORT_PAGE
from core.training_requests import EvaluationRequest
from service.bodies import examples, reader
from service.bodies.schemas import EvaluationPage, EvaluationView, JobView
from service.checks.evaluations import check_evaluation
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath, PreferencesDep
from service.http.downloads import FILE_RESPONSES, RANGE_HEADER, REPORT_RESPONSES, file_response
from service.http.openapi import documented_errors, json_body
from service.routes.jobs import WAITED

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])

_MISSING = documented_errors(NotFound, StorageUnavailable)


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
        InvalidLabels,
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
    openapi_extra=json_body(EvaluationRequest, examples.EVALUATION_EXAMPLES),
)
async def create_evaluation(request: Request, gateway: GatewayDep, preferences: PreferencesDep) -> Response:
    """Evaluate a model on a dataset by a protocol. The job's result has the metrics by name and a link to the report.

    A protocol that trains makes training jobs, which have its id as their `parent`, and goes on after the last of them.
    To cancel it cancels them.
    """
    body = await reader.read_json_body(request, EvaluationRequest)
    dataset = await gateway.datasets.get(body.dataset)
    model = await gateway.models.resolve(body.model)
    trained = check_evaluation(body, dataset, model.card, gateway.limits)
    for training in trained[:1]:  # the others have the same method and the same model
        await gateway.models.check_new_name(training.name)
        await gateway.models.check_carries(training.method, training.online_text, model)
    resolved = protocol_of(body).settle(body).model_copy(update={"model": model.name})
    return await gateway.submitter.submit(
        "evaluation", resolved, preferences, request, as_requested=body, children=len(trained)
    )


@router.get("", name="list", responses=documented_errors(StorageUnavailable))
async def get_evaluations(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 20) -> EvaluationPage:
    """Finished evaluations in the order of their ids. The unfinished ones are jobs: `/v1/jobs?kind=evaluation`."""
    return await gateway.reports.page(cursor, limit)


@router.get("/{id}", name="get", responses=_MISSING)
async def get_evaluation(id: NamePath, gateway: GatewayDep) -> EvaluationView:
    """A finished evaluation: what was judged, its metrics, and a link to its report."""
    return await gateway.reports.get(id)


@router.delete("/{id}", name="delete", status_code=204, responses=_MISSING)
async def delete_evaluation(id: NamePath, gateway: GatewayDep) -> None:
    """Delete a finished evaluation with its report."""
    await gateway.reports.delete(id)


@router.get(
    "/{id}/report",
    name="report",
    response_class=Response,
    responses=_MISSING | REPORT_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_evaluation_report(id: NamePath, gateway: GatewayDep) -> Response:
    """The report as one HTML page. It stays after the job is deleted."""
    return file_response(await gateway.reports.file(id, REPORT_PAGE))


@router.get(
    "/{id}/files/{file}",
    name="file",
    response_class=Response,
    responses=_MISSING | FILE_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_evaluation_file(id: NamePath, file: NamePath, gateway: GatewayDep) -> Response:
    """A file of the report: `report.json`, `report.html`, `predictions.jsonl`, or one of its pictures."""
    return file_response(await gateway.reports.file(id, file))
