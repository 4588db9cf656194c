"""/v1/models: the models, the versions of the fine-tuned ones, and their aliases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from core.comparison.paired import Comparison
from core.errors import (
    Cancelled,
    Conflict,
    InvalidCheckpoint,
    InvalidLabels,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    QueueFull,
    RequestTooLarge,
    StorageUnavailable,
    TrainingFailed,
    UnknownDataset,
    UnknownModel,
    UnsupportedMedia,
)
from core.registry import REPORT_PAGE, Shadow
from core.training_requests import MODEL_NAME_PATTERN, ComparisonRequest, ImportRequest
from service.bodies import examples, reader
from service.bodies.schemas import (
    AliasBody,
    AliasView,
    CompareBody,
    ImportBody,
    JobView,
    ModelDetail,
    ModelPage,
    ShadowBody,
    ShadowView,
)
from service.checks.training import check_comparison
from service.dependencies import (
    CheckpointUploadDep,
    CursorQuery,
    GatewayDep,
    LimitQuery,
    NamePath,
    PreferencesDep,
    VersionNumber,
    new_name_path,
)
from service.http.conditions import ETAG_HEADER, ConditionsDep, not_modified
from service.http.downloads import FILE_RESPONSES, RANGE_HEADER, REPORT_RESPONSES, file_response
from service.http.openapi import Responses, documented_errors, file_body, json_body
from service.routes.jobs import WAITED

router = APIRouter(prefix="/v1/models", tags=["models"])

_MISSING = documented_errors(UnknownModel, StorageUnavailable)
_NO_FILE = _MISSING | documented_errors(NotFound, UnknownModel)


@router.get("", name="list", responses=documented_errors(StorageUnavailable))
async def get_models(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> ModelPage:
    """Zoo models, the default first; then fine-tuned models. Zoo models are listed while a worker is live."""
    return await gateway.models.page(cursor, limit)


@router.post(
    "",
    name="import",
    status_code=202,
    response_model=JobView,
    responses=WAITED
    | documented_errors(
        Cancelled,
        InvalidRequest,
        InvalidCheckpoint,
        UnknownModel,
        RequestTooLarge,
        UnsupportedMedia,
        Conflict,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=file_body(ImportBody, "file", examples.IMPORT_UPLOAD_EXAMPLE),
)
async def import_model(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, upload: CheckpointUploadDep
) -> Response:
    """Import a published checkpoint (Text4Vis `.pt`, an open_clip state dict) as a new version of the model `name`."""

    async def preview(body: ImportBody) -> None:
        if body.name is not None:
            await gateway.models.check_new_name(body.name)
        await gateway.submitter.check_room("import", preferences)

    body = await reader.read_file_body(request, ImportBody, upload, preview)
    if body.name is None:
        raise InvalidRequest("name is missing.", hint="Send the model's name, for example name=my-model.", field="name")
    await preview(body)
    base = await gateway.models.resolve(body.base) if body.base else None
    fields = body.model_dump(include={"name", "temporal", "frames", "classes"}) | {"base": base and base.name}
    filename = upload.filename[-200:] or "checkpoint"

    def request_for(key: str) -> ImportRequest:
        return ImportRequest(file=key, filename=filename, **fields)

    return await gateway.submitter.submit_upload("import", upload, request_for, preferences, request)


@router.get("/{name}", name="get", responses=_MISSING)
async def get_model(name: NamePath, gateway: GatewayDep) -> ModelDetail:
    """A model with the cards of all its versions, or of one version: `name:3`, `name@alias`."""
    return await gateway.models.detail(name)


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING | documented_errors(Conflict))
async def delete_model(name: NamePath, gateway: GatewayDep) -> None:
    """Delete all versions, or only the third: `name:3`, unless an unfinished job needs it. No number is used again."""
    await gateway.models.delete(name)


@router.delete(
    "/{name}/versions/{n}", name="delete-version", status_code=204, responses=_MISSING | documented_errors(Conflict)
)
async def delete_version(name: NamePath, n: VersionNumber, gateway: GatewayDep) -> None:
    """Delete one version and the aliases that point to it, unless an unfinished job needs the version."""
    await gateway.models.delete(f"{name}:{n}")


@router.get(
    "/{name}/versions/{n}/report",
    name="report",
    response_class=Response,
    responses=_NO_FILE | REPORT_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_version_report(name: NamePath, n: VersionNumber, gateway: GatewayDep) -> Response:
    """The report of the version, as one HTML page."""
    return file_response(await gateway.models.file(name, n, REPORT_PAGE))


@router.get(
    "/{name}/versions/{n}/files/{file}",
    name="file",
    response_class=Response,
    responses=_NO_FILE | FILE_RESPONSES,
    dependencies=RANGE_HEADER,
)
async def get_version_file(name: NamePath, n: VersionNumber, file: NamePath, gateway: GatewayDep) -> Response:
    """A file: `card.json`, `model.safetensors`, `report.json`, `report.html`, `predictions.jsonl`, or a picture."""
    return file_response(await gateway.models.file(name, n, file))


COMPARISON_RESPONSES: Responses = {
    202: {
        "model": JobView,
        "description": "The unfinished job that judges both, whose result is the comparison.",
        "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}},
    }
}

_ALIAS_TAG: Responses = {200: {"headers": ETAG_HEADER}}


@router.get(
    "/{name}/aliases/{alias}",
    name="alias",
    response_model=AliasView,
    responses=_NO_FILE
    | _ALIAS_TAG
    | {304: {"description": "The alias still points there: `If-None-Match` lists its ETag."}},
)
async def get_alias(name: NamePath, alias: NamePath, gateway: GatewayDep, conditions: ConditionsDep) -> Response:
    """The version that an alias points to."""
    found, tag = await gateway.aliases.get(name, alias)
    if conditions.holds(tag):
        return not_modified(tag)
    return JSONResponse(found.model_dump(mode="json"), headers={"ETag": tag})


@router.put(
    "/{name}/aliases/{alias}",
    name="set-alias",
    responses=_MISSING
    | _ALIAS_TAG
    | documented_errors(InvalidRequest, PreconditionFailed, RequestTooLarge, UnsupportedMedia),
    openapi_extra=json_body(AliasBody, examples.ALIAS_EXAMPLES),
)
async def set_alias(
    name: NamePath,
    alias: Annotated[str, new_name_path(MODEL_NAME_PATTERN)],
    request: Request,
    gateway: GatewayDep,
    conditions: ConditionsDep,
    response: Response,
) -> ModelDetail:
    """Point an alias at a version, which `model=name@alias` means from now on."""
    body = await reader.read_json_body(request, AliasBody)
    response.headers["ETag"] = await gateway.aliases.set(name, alias, body.version, conditions)
    return await gateway.models.detail(f"{name}@{alias}")


@router.post(
    "/{name}/aliases/{alias}/compare",
    name="compare",
    response_model=Comparison,
    responses=COMPARISON_RESPONSES
    | _NO_FILE
    | documented_errors(
        InvalidRequest,
        InvalidLabels,
        UnknownDataset,
        Conflict,
        RequestTooLarge,
        UnsupportedMedia,
        QueueFull,
        TrainingFailed,
        Cancelled,
    ),
    openapi_extra=json_body(CompareBody, examples.COMPARE_EXAMPLES),
)
async def compare_versions(
    name: NamePath, alias: NamePath, request: Request, gateway: GatewayDep, preferences: PreferencesDep
) -> Response:
    """Whether a model is better than the version of the alias, by a paired bootstrap over the same held-out clips.

    If no report tells, a job judges both. The answer is 202 with the job if that takes longer than the deadline.
    """
    body = await reader.read_json_body(request, CompareBody)
    model = await gateway.models.resolve(body.model)
    found = await gateway.aliases.compare(name, alias, model.name or body.model, model.card, body.dataset)
    if not isinstance(found, ComparisonRequest):
        return JSONResponse(found)
    standing = await gateway.models.resolve(found.standing)
    check_comparison(await gateway.datasets.get(found.dataset), [model.card, standing.card])
    return await gateway.submitter.submit("comparison", found, preferences, request, as_requested=body)


@router.delete(
    "/{name}/aliases/{alias}",
    name="drop-alias",
    status_code=204,
    responses=_NO_FILE | documented_errors(PreconditionFailed),
)
async def drop_alias(name: NamePath, alias: NamePath, gateway: GatewayDep, conditions: ConditionsDep) -> None:
    """Delete an alias, and what was counted of its shadows. The version stays."""
    await gateway.aliases.drop(name, alias, conditions)


@router.get("/{name}/aliases/{alias}/shadow", name="shadow", responses=_NO_FILE)
async def get_shadow(name: NamePath, alias: NamePath, gateway: GatewayDep) -> ShadowView:
    """The shadow of an alias: how often it agrees with the version that answers, and where they differ."""
    return await gateway.aliases.shadow(name, alias)


@router.put(
    "/{name}/aliases/{alias}/shadow",
    name="set-shadow",
    responses=_NO_FILE | documented_errors(InvalidRequest, RequestTooLarge, UnsupportedMedia),
    openapi_extra=json_body(ShadowBody, examples.SHADOW_EXAMPLES),
)
async def set_shadow(name: NamePath, alias: NamePath, request: Request, gateway: GatewayDep) -> ShadowView:
    """Let another version score a share of the questions to the alias, without answering them."""
    body = await reader.read_json_body(request, ShadowBody)
    return await gateway.aliases.set_shadow(name, alias, Shadow(version=body.version, share=body.share))


@router.delete("/{name}/aliases/{alias}/shadow", name="drop-shadow", status_code=204, responses=_NO_FILE)
async def drop_shadow(name: NamePath, alias: NamePath, gateway: GatewayDep) -> None:
    """Take the shadow away. Its counts stay, and go on if it comes back."""
    await gateway.aliases.drop_shadow(name, alias)
