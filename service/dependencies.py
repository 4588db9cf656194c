"""The dependencies that routes declare by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from core.projects import DEFAULT_PROJECT
from core.questions import LONGEST_REFERENCE
from core.uploads.sink import ARCHIVE, CHECKPOINT, MANIFEST, Upload
from service.bodies.schemas import MOST_VERSIONS
from service.checks.admission import Admission
from service.gateway import Gateway
from service.http.preferences import (
    IdempotencyKeyHeader,
    Preferences,
    PreferHeader,
    WebhookHeader,
    read_preferences,
)

ITEM_BYTES = 2000  # of a manifest, for each item that it may have


async def _gateway(request: Request) -> Gateway:
    """As the project sees it that the request belongs to."""
    gateway: Gateway = request.app.state.gateway
    return gateway.of(getattr(request.state, "project", DEFAULT_PROJECT))


GatewayDep = Annotated[Gateway, Depends(_gateway)]


async def _preferences(
    request: Request,
    gateway: GatewayDep,
    _: PreferHeader = None,
    idempotency_key: IdempotencyKeyHeader = None,
    webhook: WebhookHeader = None,
) -> Preferences:
    """Raises: InvalidRequest, UrlNotAllowed, UrlUnreachable for a webhook that cannot be called."""
    if webhook is not None:
        await gateway.webhooks.check(webhook)
    return read_preferences(
        request.headers.getlist("prefer"), idempotency_key, webhook
    )  # there may be several `Prefer`


PreferencesDep = Annotated[Preferences, Depends(_preferences)]


async def _admission(gateway: GatewayDep, preferences: PreferencesDep) -> Admission:
    return Admission(gateway, preferences)


async def _video_upload(gateway: GatewayDep) -> AsyncIterator[Upload]:
    with Upload(gateway.store, gateway.settings.max_upload_bytes) as upload:
        yield upload


async def _archive_upload(gateway: GatewayDep) -> AsyncIterator[Upload]:
    with Upload(gateway.store, gateway.settings.max_archive_bytes, ARCHIVE) as upload:
        yield upload


async def _checkpoint_upload(gateway: GatewayDep) -> AsyncIterator[Upload]:
    with Upload(gateway.store, gateway.settings.max_archive_bytes, CHECKPOINT) as upload:
        yield upload


async def _manifest_upload(gateway: GatewayDep) -> AsyncIterator[Upload]:
    with Upload(gateway.store, gateway.settings.max_batch_items * ITEM_BYTES, MANIFEST) as upload:
        yield upload


AdmissionDep = Annotated[Admission, Depends(_admission)]
VideoUploadDep = Annotated[Upload, Depends(_video_upload)]
"""The video file of this request. It is deleted when the request ends, unless it was published."""

ArchiveUploadDep = Annotated[Upload, Depends(_archive_upload)]
CheckpointUploadDep = Annotated[Upload, Depends(_checkpoint_upload)]
ManifestUploadDep = Annotated[Upload, Depends(_manifest_upload)]

NamePath = Annotated[str, Path(max_length=LONGEST_REFERENCE)]
"""A name or id in the path of a URL."""


def new_name_path(pattern: str) -> Any:
    """A name in the path that the request may give to something new.

    The document states the pattern. The route checks it, because its message can say what a good name is.
    """
    return Path(max_length=LONGEST_REFERENCE, json_schema_extra={"pattern": pattern})


CursorQuery = Annotated[str | None, Query(description="`next` of the previous page.", max_length=200)]
VersionNumber = Annotated[int, Path(ge=1, le=MOST_VERSIONS, description="The version's number.")]
LimitQuery = Annotated[int, Query(ge=1, le=1000, description="Most entries on a page.")]
