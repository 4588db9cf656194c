"""/v1/label-sets: named, versioned sets of labels."""

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
from service.bodies import examples, reader
from service.bodies.schemas import LabelSetBody, LabelSetPage
from service.dependencies import CursorQuery, GatewayDep, LimitQuery
from service.http.openapi import another_response, documented_errors, json_body

router = APIRouter(prefix="/v1/label-sets", tags=["label-sets"])

_MISSING = documented_errors(UnknownLabelSet, StorageUnavailable)


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_label_sets(gateway: GatewayDep, cursor: CursorQuery = None, limit: LimitQuery = 100) -> LabelSetPage:
    """The latest version of each label set, in the order of their names."""
    return await gateway.label_sets.page(cursor, limit)


@router.get("/{name}", name="get", responses=_MISSING)
async def get_label_set(name: str, gateway: GatewayDep) -> LabelSet:
    """The latest version of a label set, or the third: `name:3`."""
    return await gateway.label_sets.get(name)


@router.put(
    "/{name}",
    name="put",
    responses=another_response(201, LabelSet, "A new version.")
    | documented_errors(InvalidRequest, InvalidLabels, RequestTooLarge, UnsupportedMedia, StorageUnavailable),
    openapi_extra=json_body(LabelSetBody, examples.LABEL_SET_EXAMPLES),
)
async def put_label_set(name: str, request: Request, gateway: GatewayDep, response: Response) -> LabelSet:
    """Write a new version. Content that equals the latest version makes no new one (200)."""
    body = await reader.read_json_body(request, LabelSetBody)
    label_set, new = await gateway.label_sets.put(name, body)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/label-sets/{label_set.name}:{label_set.version}"
    return label_set


@router.delete("/{name}", name="delete", status_code=204, responses=_MISSING)
async def delete_label_set(name: str, gateway: GatewayDep) -> None:
    """Delete all versions. Their numbers are never used again."""
    await gateway.label_sets.delete(name)


@router.get("/{name}/versions", name="versions", responses=_MISSING)
async def get_label_set_versions(name: str, gateway: GatewayDep) -> LabelSetPage:
    """All versions, newest first."""
    return await gateway.label_sets.versions(name)
