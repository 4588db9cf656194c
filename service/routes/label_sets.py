"""/v1/label-sets: named, versioned labels."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import (
    InvalidLabels,
    InvalidRequest,
    RequestTooLarge,
    StorageUnavailable,
    UnknownLabelSet,
    UnsupportedMedia,
)
from core.records import LabelSet
from service.bodies import reader
from service.bodies.schemas import LabelSetBody, LabelSetPage
from service.dependencies import CursorQuery, GatewayDep, LimitQuery
from service.http import openapi
from service.http.envelope import also, documented

router = APIRouter(prefix="/v1/label-sets", tags=["label-sets"])

_MISSING = documented(UnknownLabelSet, StorageUnavailable)


@router.get("", name="list", responses=documented(InvalidRequest, StorageUnavailable))
async def list_label_sets(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> LabelSetPage:
    """The latest version of each label set, by name."""
    return await gateway.label_sets.page(cursor, limit)


@router.get("/{name}", name="get", responses=_MISSING)
async def get_label_set(name: str, gateway: GatewayDep) -> LabelSet:
    """The latest version, or with `name:3` the third."""
    return await gateway.label_sets.get(name)


@router.put(
    "/{name}",
    name="put",
    responses=also(201, LabelSet, "A new version.")
    | documented(InvalidRequest, InvalidLabels, RequestTooLarge, UnsupportedMedia, StorageUnavailable),
    openapi_extra=openapi.json_body(LabelSetBody, openapi.LABEL_SET),
)
async def put_label_set(name: str, request: Request, gateway: GatewayDep, response: Response) -> LabelSet:
    """Write a new version; content equal to the latest version's makes none (200)."""
    body = await reader.read_json(request, LabelSetBody)
    label_set, new = await gateway.label_sets.put(name, body)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/label-sets/{label_set.name}:{label_set.version}"
    return label_set


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING)
async def delete_label_set(name: str, gateway: GatewayDep) -> None:
    """Delete all versions. Their numbers are never used again."""
    await gateway.label_sets.delete(name)


@router.get("/{name}/versions", name="versions", responses=_MISSING)
async def list_versions(name: str, gateway: GatewayDep) -> LabelSetPage:
    """All versions, newest first."""
    return await gateway.label_sets.versions(name)
