"""/v1/calibrations: find out how often a model's similarities are right, and answer with confidence."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.calibration.request import CalibrationBody
from core.errors import (
    Cancelled,
    Conflict,
    InvalidLabels,
    InvalidRequest,
    NotFound,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    TrainingFailed,
    UnknownDataset,
    UnknownLabelSet,
    UnknownModel,
    UnsupportedMedia,
)
from service.bodies import examples, reader
from service.bodies.schemas import CalibrationPage, CalibrationView, JobView
from service.checks.calibrations import resolve_calibration
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath, PreferencesDep
from service.http.downloads import FILE_RESPONSES, RANGE_HEADER, file_response
from service.http.openapi import documented_errors, json_body
from service.routes.jobs import WAITED

router = APIRouter(prefix="/v1/calibrations", tags=["calibrations"])

_MISSING = documented_errors(NotFound, UnknownModel, StorageUnavailable)


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
        UnknownDataset,
        UnknownLabelSet,
        UnknownModel,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=json_body(CalibrationBody, examples.CALIBRATION_EXAMPLES),
)
async def create_calibration(request: Request, gateway: GatewayDep, preferences: PreferencesDep) -> Response:
    """Calibrate a model on the clips of a dataset, which it must not have learned from.

    The job's result is the calibration. From then on, answers of the model carry a confidence.
    """
    body = await reader.read_json_body(request, CalibrationBody)
    resolved = await resolve_calibration(body, gateway)
    return await gateway.submitter.submit("calibration", resolved, preferences, request, as_requested=body)


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_calibrations(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 20) -> CalibrationPage:
    """All calibrations, the newest first."""
    return await gateway.calibrations.page(cursor, limit)


@router.get("/{name}", name="get", responses=_MISSING)
async def get_calibration(name: NamePath, gateway: GatewayDep) -> CalibrationView:
    """A calibration by its id, or the newest one of a model for any labels: `lite`, `my-gym:3`, `my-gym@production`."""
    return await gateway.calibrations.get(name)


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING)
async def delete_calibration(name: NamePath, gateway: GatewayDep) -> None:
    """Delete a calibration by its id. The one before it is used again, if there is one."""
    await gateway.calibrations.delete(name)


@router.get(
    "/{name}/files/{file}",
    name="file",
    response_class=Response,
    responses=_MISSING | FILE_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_calibration_file(name: NamePath, file: NamePath, gateway: GatewayDep) -> Response:
    """The reliability diagram: `reliability.png`."""
    return file_response(await gateway.calibrations.file(name, file))
