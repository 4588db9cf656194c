"""`vireo-gateway`: serves the gateway on the address in the settings until SIGTERM or Ctrl-C.

After the signal no new connection is accepted, waiting requests are answered (with their result, or 202 and their job),
and uploads have eight seconds to finish.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI
from redis import Redis
from redis.exceptions import RedisError

from core.access.keys import UNGUARDED_WORDS
from core.logs.lines import configure_logs
from core.schema import IncompatibleData, open_data_of
from core.settings import Settings, get_settings
from core.state import keys
from core.tracing.export import configure_tracing
from service.app import create_app
from service.connections.connection import bounded_connections

log = logging.getLogger(__name__)

GRACE = 8  # seconds that requests in flight have to finish
KEEP_ALIVE = (
    75  # seconds that a connection may be idle: longer than the longest Retry-After, so that clients can use it
)


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
        loop="asyncio",  # uvloop accepts one connection per pass: behind 200 others a new one waits for 200 passes
        http=bounded_connections(settings),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def refuse_unguarded(settings: Settings) -> None:
    """Do not start where others reach the gateway and nobody has a key. Raises: SystemExit.

    While Redis is away nothing can be said, and the gateway starts: without a key it answers nobody.
    """
    if settings.keys != "auto" or settings.local:
        return
    try:
        with Redis.from_url(settings.jobs_redis, socket_connect_timeout=5.0, socket_timeout=5.0) as redis:
            guarded = bool(redis.hlen(keys.API_KEYS))
    except RedisError as error:
        log.warning("Redis does not say whether there are API keys: %s", error)
        return
    if not guarded:
        raise SystemExit(UNGUARDED_WORDS.format(host=settings.published_host or settings.host))


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)  # uvicorn repeats the signal after it has stopped; a requested stop is exit code 0
    settings = get_settings()
    configure_logs(settings)
    configure_tracing("vireo-gateway")
    try:
        open_data_of(settings)
    except IncompatibleData as error:
        raise SystemExit(str(error)) from None
    refuse_unguarded(settings)
    app = create_app(settings)
    GatewayServer(app, server_config(app, settings)).run()
