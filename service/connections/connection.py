"""One HTTP connection, with bounds on what a client may send before its request is understood, and on how long it may
keep silent. What comes after the head of a request is bounded in `bodies_in_flight`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from core.errors import HeadersTooLarge, MalformedRequest, Overloaded, RequestTimeout, VireoError
from core.prometheus import HTTP_REQUESTS
from core.settings import Settings
from service.http.senders import FIRST

GOODBYE_SECONDS: Final = 1.0
"""How long a refused client has to read why. Closing at once would reset the connection, and the answer be lost."""

_ONCE: Final = frozenset(
    {b"authorization", b"content-type", b"idempotency-key", b"origin", b"range", b"sec-fetch-site", b"x-api-key"}
)
"""Headers of which two could be read as either."""

_HEADER_OVERHEAD: Final = 4  # bytes of a header besides its name and its value


@dataclass(slots=True)
class ConnectionBounds:
    """The bounds, and the connections whose request has not been understood yet, of one server."""

    settings: Settings
    waiting: dict[BoundedConnection, None] = field(default_factory=dict)
    """In the order in which they began to wait."""

    def make_room(self, connections: int) -> bool:
        """Whether a new connection may stay. A server that is full closes the one that has kept it waiting longest, so
        clients that send nothing cannot keep others out."""
        if connections <= self.settings.max_connections:
            return True
        longest = next(iter(self.waiting), None)
        if longest is not None:
            longest.give_way()
        return longest is not None


def bounded_connections(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn."""
    factory: Callable[..., BoundedConnection] = partial(BoundedConnection, bounds=ConnectionBounds(settings))
    return cast(type[asyncio.Protocol], factory)


class BoundedConnection(HttpToolsProtocol):
    def __init__(self, *args: Any, bounds: ConnectionBounds, **named: Any) -> None:
        super().__init__(*args, **named)
        self._bounds = bounds
        self._settings = bounds.settings
        self._refused = False
        self._requests = 0
        self._fault: VireoError | None = None  # why nothing more of what arrives is understood
        self._begun = False  # a request whose head is not complete
        self._head = 0  # bytes of URL and headers of this message
        self._headers_seen = 0
        self._unparsed = 0  # bytes since the parser last understood something
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    # the life of the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._bounds.make_room(len(self.connections)):
            self._bounds.waiting[self] = None
            self._start_head_timer()
        else:
            self._refuse(
                Overloaded(
                    "The server has too many connections.",
                    hint="Try again soon, and use one connection for several requests.",
                    limit=self._settings.max_connections,
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        self._set_stall_timer(None)
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close without an answer: the client has not asked anything yet, and may connect again."""
        self._refused = True
        self._head_is_here()
        self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self._bounds.waiting[self] = None
            if self._begun:  # otherwise the keep-alive time runs
                self._start_head_timer()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the client does not read its answer: an orderly close would wait for it
        else:
            super().timeout_keep_alive_handler()

    # how long a client may keep silent

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._settings.header_timeout, self._head_is_late)

    def _head_is_here(self) -> None:
        self._bounds.waiting.pop(self, None)
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        seconds = self._settings.header_timeout
        if self._begun:
            self._refuse(RequestTimeout(f"The head of the request did not arrive within {seconds:g} seconds."))
        else:
            self.give_way()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_stall_timer(self.loop.call_later(self._settings.body_timeout, self.transport.abort))

    def resume_writing(self) -> None:
        self._set_stall_timer(None)
        super().resume_writing()

    def _set_stall_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """Closes the connection of a client that does not read its answer."""
        if self._stall_timer:
            self._stall_timer.cancel()
        self._stall_timer = timer

    # how much a client may send

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._head_timer is None and self in self._bounds.waiting:
            self._start_head_timer()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > self._settings.max_header_bytes:
            self._fault = self._fault or self._too_large()
        if self._fault:
            self._refuse(self._fault)

    def on_message_begin(self) -> None:
        if self._fault:
            return
        self._begun = True
        self._head = self._headers_seen = self._unparsed = 0
        super().on_message_begin()
        self.scope[FIRST] = self._requests == 0  # type: ignore[typeddict-unknown-key]
        self._requests += 1

    def on_url(self, url: bytes) -> None:
        if self._count(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also for the trailers after a body."""
        self._headers_seen += 1
        if self._count(len(name) + len(value) + _HEADER_OVERHEAD):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._begun = False
        self._head_is_here()
        if self._fault is None and (why := ambiguity(self.parser.get_http_version(), self.url, self.headers)):
            self._fault = MalformedRequest(f"The request is ambiguous: {why}.", hint="Let an HTTP library write it.")
        if self._fault is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if self._fault is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if self._fault is None:
            super().on_message_complete()

    def _count(self, size: int) -> bool:
        self._unparsed = 0
        self._head += size
        settings = self._settings
        if self._head > settings.max_header_bytes or self._headers_seen > settings.max_headers:
            self._fault = self._fault or self._too_large()
        return self._fault is None

    def _too_large(self) -> HeadersTooLarge:
        settings = self._settings
        return HeadersTooLarge(
            f"The URL and the headers are too large: at most {settings.max_header_bytes} bytes and "
            f"{settings.max_headers} headers are allowed.",
            limit=settings.max_header_bytes,
        )

    # answers to what never becomes a request

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(MalformedRequest("The request is not valid HTTP.", hint="Let an HTTP library write it."))

    def _refuse(self, error: VireoError) -> None:
        """Answer and close. In the middle of a request, whose answer may have begun, only close."""
        if self._refused:
            return
        self._refused = True
        self._head_is_here()
        HTTP_REQUESTS.labels("unmatched", "other", str(error.status)).inc()
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked or len(self.connections) > 2 * self._settings.max_connections:
            self.transport.abort()
            return
        self.transport.write(_answer(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(GOODBYE_SECONDS, self.transport.abort)


def ambiguity(version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> str | None:
    """Why a proxy in front of us could take the request for another one, or for two, where the parser lets it pass."""
    if version not in ("1.0", "1.1"):
        return f"its version is HTTP/{version}"
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        return "its Transfer-Encoding is not chunked alone, or not of HTTP/1.1"
    names = [name for name, _ in headers if name in _ONCE]
    if len(names) > len(set(names)):
        return f"it has several headers of a kind that it may have once ({', '.join(sorted(map(bytes.decode, _ONCE)))})"
    if not target.startswith((b"/", b"*")):
        authority = target.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].lower()
        if [authority] != [value.strip().lower() for name, value in headers if name == b"host"]:
            return "its target and its header Host name different hosts"
    return None


def _answer(error: VireoError) -> bytes:
    body = json.dumps({"error": error.to_dict()}).encode()
    retry = f"retry-after: {error.retry_after}\r\n" if error.retry_after is not None else ""
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
    return STATUS_LINE[error.status] + head.encode() + body
