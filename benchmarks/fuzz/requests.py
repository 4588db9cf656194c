"""Targets in the gateway: bodies, labels and headers. A target returns, or raises an error that is a 4xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar, cast

from starlette.datastructures import Headers

from core.errors import CrossSiteRequest, HostNotAllowed, InvalidRequest, PreconditionFailed, VireoError
from core.uploads.addresses import is_public, literal_address
from core.uploads.sink import Sink, Upload
from core.uploads.targets import check_without_network
from service.bodies.cursors import read_cursor, write_cursor
from service.bodies.feedback.label_studio import read_tasks
from service.bodies.feedback.table import read_table
from service.bodies.json_reader import JsonReader, parse_json
from service.bodies.multipart import FormReader
from service.bodies.questions import ClassifyBody
from service.bodies.reader import _parse_form, _values
from service.bodies.validation import validate_body
from service.http.conditions import Conditions
from service.http.downloads import _Download
from service.http.origins import OriginGuard, check_origin
from service.http.preferences import read_preferences

LIMIT: Final = 20_000  # bytes of a body
FILE_SIZE: Final = 1000  # of the file that ranges are about

T = TypeVar("T")


class _Bytes:
    """A sink that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data

    async def flush(self) -> None: ...


class _Kept(Upload):
    """An upload without a store."""

    def __init__(self) -> None:
        self.sink = _Bytes()

    async def open(self) -> Sink:
        return cast(Sink, self.sink)


def multipart(data: bytes) -> None:
    """The first line is the Content-Type. In how many pieces a body comes changes nothing."""
    content_type, _, body = data.partition(b"\n")
    known = frozenset({"labels", "model", "frames"})

    async def read(size: int) -> object:
        sink = _Bytes()

        async def open_sink(_: dict[str, list[str]]) -> _Bytes:
            return sink

        form = FormReader(known, open_sink, LIMIT)
        fields = await form.read(content_type.decode("latin-1"), _pieces(body, size))
        return fields, form.filename, sink.data

    _same(lambda: read(max(len(body), 1)), lambda: read(7))


def json_body(data: bytes) -> None:
    """With a video in base64. In how many pieces a body comes changes nothing."""

    async def read(size: int) -> object:
        upload = _Kept()
        body = await JsonReader(LIMIT, upload).read(_pieces(data, size))
        return json.dumps(body, sort_keys=True), upload.sink.data

    _same(lambda: read(max(len(data), 1)), lambda: read(5))


def form(data: bytes) -> None:
    try:
        pairs = _parse_form(data)
    except ValueError:
        return  # the reader says so
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    validate_body(ClassifyBody, _values(fields))


def labels(data: bytes) -> None:
    """As a field of a form, and as JSON. What is accepted can be written as JSON again."""
    text = data.decode(errors="replace")
    for name in ("labels", "timeline", "views", "templates"):
        with suppress(InvalidRequest):
            validate_body(ClassifyBody, _values({name: [text]})).model_dump_json()
    parsed = parse_json(data)
    if isinstance(parsed, dict):
        validate_body(ClassifyBody, parsed).model_dump_json()


def feedback(data: bytes) -> None:
    if data[:1] in (b"[", b"{"):
        read_tasks(parse_json(data))
    else:
        read_table(data)


def ranges(data: bytes) -> None:
    for start, end in _Download._parse_range_header(data.decode("latin-1"), FILE_SIZE):
        assert 0 <= start < end <= FILE_SIZE


def headers(data: bytes) -> None:
    """Preferences, conditions, cursors, and who asks."""
    first, _, second = data.decode("latin-1").partition("\n")
    wait = read_preferences([first, second], None).wait
    assert wait is None or 0 <= wait < 1e6
    Conditions(if_none_match=first).holds('"3"')
    for step in (
        lambda: write_cursor(read_cursor(first)),
        lambda: check_origin(Headers({"origin": first, "host": second})),
        lambda: _guard()._check_host([second], "1.1"),
        lambda: Conditions(if_match=first).check('"3"'),
    ):
        with suppress(InvalidRequest, CrossSiteRequest, HostNotAllowed, PreconditionFailed):
            step()


@cache
def _guard() -> OriginGuard:
    async def app(*_: object) -> None: ...

    return OriginGuard(app, "vireo.test", frozenset({"*.example.org"}))


def urls(data: bytes) -> None:
    """An address that is not public is refused in every spelling that the system knows."""
    text = data.decode(errors="replace")
    check_without_network(text, frozenset())
    host = text.partition("://")[2].partition("/")[0]
    address = literal_address(host)
    if address is not None:
        assert is_public(address), ip_address(address)


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _same(*ways: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """All ways that are not refused have the same result."""
    results = [_loop().run_until_complete(_outcome(way())) for way in ways]
    accepted = [result for result in results if result is not None]
    assert accepted[1:] == accepted[:-1], accepted


async def _outcome(result: Awaitable[T]) -> T | None:
    """None: refused. python-multipart takes a preamble only where one piece has all of it."""
    try:
        return await result
    except VireoError as error:
        if error.status >= 500:
            raise
        return None


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()
