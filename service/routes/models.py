"""/v1/models: what can be asked, the versions of what was fine-tuned, and their aliases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from core.errors import (
    Conflict,
    InvalidCheckpoint,
    InvalidRequest,
    NotFound,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    UnknownModel,
    UnsupportedMedia,
)
from core.training_requests import ImportRequest
from service.bodies import reader
from service.bodies.schemas import AliasBody, ImportBody, JobView, ModelDetail, ModelPage
from service.catalog.models import REPORT_PAGE
from service.dependencies import AcceptingDep, CheckpointDep, GatewayDep
from service.http import openapi, report_files
from service.http.envelope import documented

router = APIRouter(prefix="/v1/models", tags=["models"])

_MISSING = documented(UnknownModel, StorageUnavailable)
_NO_FILE = _MISSING | documented(NotFound, UnknownModel)

Number = Annotated[int, Path(ge=1, le=999_999_999, description="The version's number.")]


@router.get("", name="list", responses=documented(StorageUnavailable))
async def list_models(gateway: GatewayDep) -> ModelPage:
    """Models that need no training, the default first (while a worker is there to say); then fine-tuned ones."""
    return ModelPage(data=await gateway.models.views())


@router.post(
    "",
    name="import",
    status_code=202,
    response_model=JobView,
    responses=documented(
        InvalidRequest,
        InvalidCheckpoint,
        UnknownModel,
        RequestTooLarge,
        UnsupportedMedia,
        Conflict,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=openapi.file_body(ImportBody, "file", openapi.IMPORT),
)
async def import_checkpoint(
    request: Request, gateway: GatewayDep, accepting: AcceptingDep, place: CheckpointDep
) -> Response:
    """Import a published checkpoint (Text4Vis `.pt`, an open_clip state dict) as a new version of the model `name`."""

    async def preview(body: ImportBody) -> None:
        if body.name is not None:
            await gateway.models.check_new_name(body.name)
        await accepting.check_upload("import")

    body = await reader.read_file(request, ImportBody, place, preview)
    if body.name is None:
        raise InvalidRequest("name is missing.", hint="The model's name, for example name=my-model.", field="name")
    await preview(body)
    base = await gateway.models.choose(body.base) if body.base else None
    asked = body.model_dump(include={"name", "temporal", "frames", "classes"}) | {"base": base and base.name}
    filename = place.filename[-200:] or "checkpoint"
    return await accepting.accept_file("import", place, lambda key: ImportRequest(file=key, filename=filename, **asked))


@router.get("/{name}", name="get", responses=_MISSING)
async def get_model(name: str, gateway: GatewayDep) -> ModelDetail:
    """A model with the cards of its versions; with `name:3` or `name@alias` that one."""
    return await gateway.models.detail(name)


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING | documented(Conflict))
async def delete_model(name: str, gateway: GatewayDep) -> None:
    """Delete all versions. Their numbers are never used again."""
    await gateway.models.delete(name)


@router.delete(
    "/{name}/versions/{n}", name="delete-version", status_code=204, responses=_MISSING | documented(Conflict)
)
async def delete_version(name: str, n: Number, gateway: GatewayDep) -> None:
    """Delete one version, and the aliases that point to it."""
    await gateway.models.delete(name, n)


@router.get(
    "/{name}/versions/{n}/report", name="report", response_class=Response, responses=_NO_FILE | report_files.PAGE
)
async def get_report(name: str, n: Number, gateway: GatewayDep) -> Response:
    """What the version can do, as one page."""
    return report_files.answer(await gateway.models.file(name, n, REPORT_PAGE))


@router.get(
    "/{name}/versions/{n}/files/{file}", name="file", response_class=Response, responses=_NO_FILE | report_files.FILE
)
async def get_file(name: str, n: Number, file: str, gateway: GatewayDep) -> Response:
    """A version's file: `card.json`, `model.safetensors`, `report.json`, `report.html`, or one of its pictures."""
    return report_files.answer(await gateway.models.file(name, n, file))


@router.put(
    "/{name}/aliases/{alias}",
    name="set-alias",
    responses=_MISSING | documented(InvalidRequest, RequestTooLarge, UnsupportedMedia),
    openapi_extra=openapi.json_body(AliasBody, openapi.ALIAS),
)
async def set_alias(name: str, alias: str, request: Request, gateway: GatewayDep) -> ModelDetail:
    """Point an alias at a version: `model=name@alias` means it from now on."""
    body = await reader.read_json(request, AliasBody)
    return await gateway.models.set_alias(name, alias, body.version)


@router.delete("/{name}/aliases/{alias}", name="drop-alias", status_code=204, responses=_NO_FILE)
async def drop_alias(name: str, alias: str, gateway: GatewayDep) -> None:
    """Remove an alias; the version stays."""
    await gateway.models.drop_alias(name, alias)
