"""`vireo-gateway`: serves the gateway on the address in the settings until SIGTERM or Ctrl-C.

After the signal no new connection is accepted, waiting requests are answered (with their result, or 202 and their job),
and uploads have eight seconds to finish.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from core.logs.lines import configure_logs
from core.settings import Settings, get_settings
from core.tracing.export import configure_tracing
from service.app import create_app
from service.http.connection import bounded_connections

GRACE = 8  # seconds that requests in flight have to finish


class GatewayServer(uvicorn.Server):
    """Tells the application about a signal at once, so that requests that wait for a job end before the grace does."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        gc.freeze()  # what was built at start stays; a collection that goes through it takes 70 ms

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if gateway := getattr(self._app.state, "gateway", None):
            self._loop.call_soon_threadsafe(gateway.stopping.set)


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded_connections(settings),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)  # uvicorn repeats the signal after it has stopped; a requested stop is exit code 0
    settings = get_settings()
    configure_logs(settings)
    configure_tracing("vireo-gateway")
    app = create_app(settings)
    GatewayServer(app, server_config(app, settings)).run()
