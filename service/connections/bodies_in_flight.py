"""Bounds on request bodies while they arrive: how many at once, how long a client may take, and how much is done
with them before others are answered.

A body may be large, but it has to keep coming.
"""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Overloaded, RequestTimeout
from core.settings import Settings
from service.connections.turns import Turns
from service.http.envelope import error_response
from service.http.middleware import has_body


class BodiesInFlight:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._arriving: set[_ArrivingBody] = set()
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        if len(self._arriving) >= self._settings.max_bodies:
            busy = Overloaded(
                "The server is receiving too many requests with a body.",
                hint="Try again soon.",
                limit=self._settings.max_bodies,
            )
            await error_response(busy)(scope, receive, send)
            return
        body = _ArrivingBody(receive, self._settings, self._arriving, self._turns)
        self._arriving.add(body)
        try:
            await self._turns.next()
            await self._app(scope, body.receive, send)
        finally:
            self._arriving.discard(body)


class _ArrivingBody:
    def __init__(self, receive: Receive, settings: Settings, arriving: set[_ArrivingBody], turns: Turns) -> None:
        """`arriving`: all bodies that are not complete. This one leaves them when it is, and has its last turn."""
        self._receive = receive
        self._timeout = settings.body_timeout
        self._min_rate = settings.min_body_rate
        self._arriving = arriving
        self._turns = turns
        self._waited = 0.0  # seconds, for the client only: not while the server was busy with what had come
        self._size = 0

    async def receive(self) -> Message:
        """Raises: RequestTimeout."""
        if self not in self._arriving:
            return await self._receive()
        started = time.monotonic()
        left = self._timeout + self._size / self._min_rate - self._waited
        try:
            async with asyncio.timeout(min(self._timeout, left)):
                message = await self._receive()
        except TimeoutError:
            waited = self._waited + time.monotonic() - started
            raise RequestTimeout(
                f"The body stopped, or came too slowly: {self._size} bytes after waiting {waited:.0f} seconds.",
                hint="Send the request again over a faster or steadier connection.",
                limit=self._timeout,
            ) from None
        self._waited += time.monotonic() - started
        self._size += len(message.get("body", b""))
        await self._turns.next()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._arriving.discard(self)
        return message
