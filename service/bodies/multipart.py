"""Multipart bodies, read as they arrive: text fields go to memory (limited in size), the one file goes to a sink.

Nothing is spooled: each chunk from the socket is parsed and passed on, so memory use does not depend on the size of the
body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from core.errors import InvalidRequest, RequestTooLarge
from core.uploads.sink import VIDEO, UploadKind
from service.bodies.validation import unknown_field

_PIECE = 16 << 10  # bytes that are parsed at once
PART_OVERHEAD = 64  # bytes counted for each part, so that endless empty parts reach the limit too

Fields = dict[str, list[str]]


class FileSink(Protocol):
    async def write(self, data: bytes) -> None: ...

    async def flush(self) -> None: ...


@dataclass(slots=True)
class FormPart:
    """The headers of one part."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str = ""
    is_file: bool = False

    def parse_headers(self) -> None:
        """Set the name and the kind from the headers, which are complete by now. Raises: InvalidRequest."""
        disposition, options = parse_options_header(self.headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise InvalidRequest("A part of the multipart body has no name.")
        self.name = options[b"name"].decode(errors="replace")
        self.filename = options.get(b"filename", b"").decode(errors="replace")
        kind = self.headers.get(b"content-type", b"text/plain")
        self.is_file = b"filename" in options or not kind.startswith((b"text/", b"application/json"))


class _End:
    """The end of a part."""


_END = _End()


class _Parser:
    """Turns python-multipart's callbacks into a list of events for each chunk."""

    def __init__(self, boundary: bytes) -> None:
        self.complete = False
        self._events: list[FormPart | bytes | _End] = []
        self._part = FormPart()
        self._header = [b"", b""]
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_begin": lambda: self._header.__setitem__(slice(None), [b"", b""]),
                "on_header_field": lambda data, start, end: self._grow(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._grow(1, data[start:end]),
                "on_header_end": lambda: self._part.headers.__setitem__(self._header[0].lower(), self._header[1]),
                "on_headers_finished": lambda: self._events.append(self._part),
                "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                "on_part_end": lambda: self._events.append(_END),
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[FormPart | bytes | _End]:
        """Raises: InvalidRequest."""
        self._events = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise malformed_form(str(error)) from None
        return self._events

    def _begin(self) -> None:
        self._part = FormPart()

    def _grow(self, which: int, piece: bytes) -> None:
        self._header[which] += piece

    def _end(self) -> None:
        self.complete = True


def malformed_form(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The multipart body is malformed: {why}", hint="Let your HTTP library build the form; curl does so with -F."
    )


class FormReader:
    def __init__(
        self,
        known: frozenset[str],
        open_sink: Callable[[Fields], Awaitable[FileSink]] | None,
        limit: int,
        kind: UploadKind = VIDEO,
    ) -> None:
        """`known`: names of the text fields. `limit`: most bytes of all of them together. `open_sink`: called where the
        file begins, with the fields before it; it refuses the file by raising. None: no file is expected. `kind`:
        which file is expected, in which field."""
        self.fields: Fields = {}
        self.filename = ""
        self._kind = kind
        self._known = known
        self._open_sink = open_sink
        self._sink: FileSink | None = None
        self._part: FormPart | None = None
        self._text = bytearray()
        self._limit = self._budget = limit

    async def read(self, content_type: str, chunks: AsyncIterator[bytes]) -> Fields:
        """Raises: InvalidRequest, RequestTooLarge, and whatever the sink raises."""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise malformed_form("its Content-Type names no boundary.")
        try:
            parser = _Parser(boundary)
        except FormParserError as error:
            raise malformed_form(str(error)) from None
        async for chunk in chunks:
            for start in range(0, len(chunk), _PIECE):
                for event in parser.feed(chunk[start : start + _PIECE]):
                    await self._take(event)
                await asyncio.sleep(0)  # a piece of many small parts takes milliseconds: others come first
        if not parser.complete:
            raise malformed_form("it ends before its closing boundary.")
        if self._sink:
            await self._sink.flush()
        return self.fields

    async def _take(self, event: FormPart | bytes | _End) -> None:
        if isinstance(event, FormPart):
            event.parse_headers()
            self._part = event
            self._spend(PART_OVERHEAD + len(event.name))
            await self._begin(event)
        elif isinstance(event, bytes):
            await self._data(event)
        else:
            self._end()

    async def _begin(self, part: FormPart) -> None:
        accepts_file = self._open_sink is not None
        field, noun = self._kind.field, self._kind.noun
        if part.name != field or not accepts_file:
            if part.name not in self._known:
                raise unknown_field(part.name, self._known | ({field} if accepts_file else set()))
            return
        if not part.is_file:
            raise InvalidRequest(
                f"The field {field!r} must be a file.",
                hint=f"With curl: -F {field}=@{self._kind.example} (note the @).",
                field=field,
            )
        if self._sink or self._open_sink is None:
            raise InvalidRequest(f"The form has two files; a request takes one {noun}.", field=field)
        self.filename = part.filename
        self._sink = await self._open_sink(self.fields)

    async def _data(self, data: bytes) -> None:
        if self._part and self._part.name == self._kind.field and self._sink:
            await self._sink.write(data)
        else:
            self._spend(len(data))
            self._text += data

    def _end(self) -> None:
        assert self._part is not None  # a part begins before it ends
        if self._part.name == self._kind.field:
            return
        try:
            text = self._text.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"The field {self._part.name!r} is not UTF-8 text.", field=self._part.name) from None
        self._text.clear()
        self.fields.setdefault(self._part.name, []).append(text)

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise RequestTooLarge(
                f"The text fields of the form exceed {self._limit} bytes.",
                hint=f"Send the {self._kind.noun} as a file in the field `{self._kind.field}`.",
                limit=self._limit,
            )
