"""Middleware for every request: its id, a log line, metrics, the answer to bugs, and a clean end for refused uploads.

It also answers HEAD wherever there is a GET route.

It is plain ASGI, so that bodies stream through unchanged and a client's disconnect reaches the route.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from contextlib import suppress

from redis.exceptions import RedisError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.access.audit import write_request
from core.errors import VireoError
from core.logs.belonging import JOB_ID, REQUEST_ID, belong_to
from core.prometheus import HTTP_REQUESTS, HTTP_SECONDS
from service.http import envelope
from service.http.outcome import Outcome
from service.http.senders import SENDER, sender_of

log = logging.getLogger("vireo.access")

_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
LINGER_SECONDS = 2.0
LINGER_BYTES = 32 << 20
MOST_LINGERING = 8  # at the same time: reading what nobody wants must not hold up the others
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Exchange:
    """The state of one request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.status = 0
        self.body_read = not has_body(Headers(scope=scope))
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = REQUEST_ID.get() or ""
            headers.update(Outcome.of(self.scope).headers)
            if not self.body_read:
                headers["Connection"] = "close"
        elif not self.body_read and not message.get("more_body", False):
            await self._linger(message)
            return
        await self._send(message)

    async def _linger(self, last: Message) -> None:
        """Send the answer to a request that is refused in the middle of its upload, and discard the rest for a moment.

        Closing at once would reset the connection, and many clients would never see the answer."""
        await self._send({**last, "more_body": True})
        if len(_lingering) < MOST_LINGERING:
            _lingering.add(self)
            try:
                await self._discard()
            finally:
                _lingering.discard(self)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _discard(self) -> None:
        seen = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.body_read and seen < LINGER_BYTES:
                    seen += len((await self.receive()).get("body", b""))


class _HeadersSent(Exception):
    """The answer to a HEAD request is complete. Its body is not made: it could be a large file or an endless stream."""


class _HeadExchange(Exchange):
    """Runs a HEAD request as GET up to the headers of the answer."""

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == "http.response.start":
            await super().send({"type": "http.response.body", "body": b"", "more_body": False})
            raise _HeadersSent


_lingering: set[Exchange] = set()


class RequestObserver:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        belong_to(None, _request_id(Headers(scope=scope)))
        method: str = scope["method"]
        # The server keeps its own scope, so that it knows that no body follows the headers.
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        SENDER.set(sender_of(scope))
        Outcome.of(scope)  # made here, because a layer inside may get a copy of the scope
        exchange = (_HeadExchange if method == "HEAD" else Exchange)(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except _HeadersSent:
            pass
        except ClientDisconnect:
            exchange.status = envelope.CLIENT_GONE
        except Exception:
            log.exception("unhandled")
            if exchange.status:
                raise  # part of an answer has been sent: only a broken connection can signal the error
            error = VireoError(
                "The server failed to handle the request.", hint="Search the server's log for the request id."
            )
            await envelope.error_response(error)(scope, exchange.receive, exchange.send)
        finally:
            _record(scope, method, exchange.status, time.perf_counter() - started)
            await _audit(scope, exchange.status)


def _record(scope: Scope, method: str, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = method if method in _METHODS else "other"
    HTTP_REQUESTS.labels(route, method, str(status)).inc()
    HTTP_SECONDS.labels(route, method).observe(seconds)
    fields = {"method": method, "path": scope["path"], "status": status, "ms": round(seconds * 1000, 1)}
    quiet = route in ("/livez", "/readyz", "/metrics") and status == 200
    named = scope.get("path_params", {}).get("id", "")
    if named.startswith("job_"):
        JOB_ID.set(named)
    log.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": fields})


async def _audit(scope: Scope, status: int) -> None:
    if (entry := Outcome.of(scope).audit) is None:
        return
    try:
        await write_request(scope["app"].state.gateway.redis, entry.model_copy(update={"status": status}))
    except RedisError:
        log.exception("the audit log cannot be written; the line above is all there is")


def _request_id(headers: Headers) -> str:
    sent = headers.get("x-request-id", "")
    return sent if _GOOD_ID.fullmatch(sent) else f"req_{secrets.token_hex(8)}"


def has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
