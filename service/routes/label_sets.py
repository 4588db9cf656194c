"""/v1/label-sets: named, versioned sets of labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from core.errors import (
    Conflict,
    InvalidLabels,
    InvalidRequest,
    PreconditionFailed,
    RequestTooLarge,
    StorageUnavailable,
    UnknownLabelSet,
    UnsupportedMedia,
)
from core.records import LabelSet
from service.bodies import examples, reader
from service.bodies.schemas import LabelSetBody, LabelSetPage
from service.catalog.label_sets import NAME_PATTERN, etag
from service.dependencies import CursorQuery, GatewayDep, LimitQuery, NamePath, VersionNumber, new_name_path
from service.http.conditions import ETAG_HEADER, Conditions, ConditionsDep, not_modified
from service.http.openapi import Responses, documented_errors, json_body

router = APIRouter(prefix="/v1/label-sets", tags=["label-sets"])

_MISSING = documented_errors(UnknownLabelSet, StorageUnavailable)
_READ: Responses = _MISSING | {
    200: {"headers": ETAG_HEADER},
    304: {"description": "The client has this version already: `If-None-Match` lists its ETag."},
}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "URL of this version."}}
_WRITTEN: Responses = {
    200: {"headers": ETAG_HEADER | _LOCATION},
    201: {"model": LabelSet, "description": "A new version.", "headers": ETAG_HEADER | _LOCATION},
}


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_label_sets(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> LabelSetPage:
    """The latest version of each label set, in the order of their names."""
    return await gateway.label_sets.page(cursor, limit)


@router.get("/{name}", name="get", response_model=LabelSet, responses=_READ)
async def get_label_set(name: NamePath, gateway: GatewayDep, conditions: ConditionsDep) -> Response:
    """The latest version of a label set, or the third: `name:3`."""
    return _answer(await gateway.label_sets.get(name), conditions)


@router.put(
    "/{name}",
    name="put",
    response_model=LabelSet,
    responses=_WRITTEN
    | documented_errors(
        InvalidRequest,
        InvalidLabels,
        Conflict,
        PreconditionFailed,
        RequestTooLarge,
        UnsupportedMedia,
        StorageUnavailable,
    ),
    openapi_extra=json_body(LabelSetBody, examples.LABEL_SET_EXAMPLES),
)
async def put_label_set(
    name: Annotated[str, new_name_path(NAME_PATTERN)], request: Request, gateway: GatewayDep, conditions: ConditionsDep
) -> Response:
    """Write a new version. Content that equals the latest version makes no new one (200)."""
    body = await reader.read_json_body(request, LabelSetBody)
    label_set, new = await gateway.label_sets.put(name, body, conditions)
    headers = {"Location": f"/v1/label-sets/{label_set.name}:{label_set.version}", "ETag": etag(label_set)}
    return JSONResponse(label_set.model_dump(mode="json"), 201 if new else 200, headers)


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING | documented_errors(PreconditionFailed))
async def delete_label_set(name: NamePath, gateway: GatewayDep, conditions: ConditionsDep) -> None:
    """Delete all versions, or only the third: `name:3`. Their numbers are never used again."""
    await gateway.label_sets.delete(name, conditions)


@router.get("/{name}/versions", name="versions", responses=_MISSING | documented_errors(InvalidRequest))
async def get_label_set_versions(
    name: NamePath, gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100
) -> LabelSetPage:
    """The versions, newest first."""
    return await gateway.label_sets.versions(name, cursor, limit)


@router.get("/{name}/versions/{n}", name="version", response_model=LabelSet, responses=_READ)
async def get_label_set_version(
    name: NamePath, n: VersionNumber, gateway: GatewayDep, conditions: ConditionsDep
) -> Response:
    """One version. It never changes."""
    return _answer(await gateway.label_sets.get(f"{name}:{n}"), conditions)


@router.delete(
    "/{name}/versions/{n}",
    name="delete-version",
    status_code=204,
    responses=_MISSING | documented_errors(PreconditionFailed),
)
async def delete_label_set_version(
    name: NamePath, n: VersionNumber, gateway: GatewayDep, conditions: ConditionsDep
) -> None:
    """Delete one version. Its number is never used again; the newest version that is left becomes the latest one."""
    await gateway.label_sets.delete(f"{name}:{n}", conditions)


def _answer(label_set: LabelSet, conditions: Conditions) -> Response:
    tag = etag(label_set)
    if conditions.holds(tag):
        return not_modified(tag)
    return JSONResponse(label_set.model_dump(mode="json"), headers={"ETag": tag})
