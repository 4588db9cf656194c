"""What routes ask for by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request

from service.checks.questions import Asking
from service.gateway import Gateway
from service.jobs.submit import Accepting
from service.uploads.sink import ARCHIVE, CHECKPOINT, Incoming, incoming


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(_gateway)]


async def _asking(request: Request, gateway: GatewayDep) -> Asking:
    return Asking(gateway, request)


async def _place(gateway: GatewayDep) -> AsyncIterator[Incoming]:
    with incoming(gateway.store, gateway.settings.max_upload_bytes) as place:
        yield place


async def _archive(gateway: GatewayDep) -> AsyncIterator[Incoming]:
    with incoming(gateway.store, gateway.settings.max_archive_bytes, ARCHIVE) as place:
        yield place


async def _checkpoint(gateway: GatewayDep) -> AsyncIterator[Incoming]:
    with incoming(gateway.store, gateway.settings.max_archive_bytes, CHECKPOINT) as place:
        yield place


async def _accepting(request: Request, gateway: GatewayDep) -> Accepting:
    return Accepting(gateway, request)


AskingDep = Annotated[Asking, Depends(_asking)]
AcceptingDep = Annotated[Accepting, Depends(_accepting)]
PlaceDep = Annotated[Incoming, Depends(_place)]
"""Where this request's upload goes; what was not published is deleted when the request ends."""

ArchiveDep = Annotated[Incoming, Depends(_archive)]
CheckpointDep = Annotated[Incoming, Depends(_checkpoint)]

CursorQuery = Annotated[str | None, Query(description="`next` of the page before.", max_length=200)]
LimitQuery = Annotated[int, Query(ge=1, le=1000, description="Most entries on the page.")]
