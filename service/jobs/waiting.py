"""Waiting for a job on behalf of a request, and the answer for one that is not finished yet."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response

from core.records import Job
from service.gateway import Gateway
from service.http.preferences import Wishes

STOPPING_GRACE = 1.0  # seconds for answers that are nearly there when the server stops
RETRY_AFTER = 1  # seconds, suggested to whoever polls a job


async def wait(
    gateway: Gateway, request: Request, done: asyncio.Future[None], seconds: float | None
) -> Literal["done", "gone", "late"]:
    """`seconds`: that the client is willing to wait, if less than the server's deadline. "gone": it has left."""
    deadline = gateway.settings.sync_deadline
    gone = asyncio.create_task(_disconnected(request))
    stopping = asyncio.create_task(_stopping(gateway))
    try:
        limit = deadline if seconds is None else min(seconds, deadline)
        await asyncio.wait({done, gone, stopping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await asyncio.wait({done, gone}, timeout=STOPPING_GRACE, return_when=asyncio.FIRST_COMPLETED)
        return "done" if done.done() else "gone" if gone.done() else "late"
    finally:
        for task in (gone, stopping):
            task.cancel()
        await asyncio.gather(gone, stopping, return_exceptions=True)


async def accepted(gateway: Gateway, job: Job, wishes: Wishes, status: int = 202) -> Response:
    """The job, and where to ask for it."""
    view = await gateway.jobs.view(job)
    headers = {"Location": view.links.self, "Retry-After": str(RETRY_AFTER)}
    if wishes.detached:
        headers["Preference-Applied"] = "respond-async"
    return JSONResponse(view.model_dump(mode="json"), status, headers)


async def _stopping(gateway: Gateway) -> None:
    await gateway.stopping.wait()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
