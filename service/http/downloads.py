"""Files that a worker wrote (reports, cards, weights, pictures), sent with headers that forbid scripts in browsers."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from fastapi import Depends, Header
from fastapi.responses import FileResponse
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from core.errors import InvalidRange
from core.storage import threads
from service.http.openapi import Responses, documented_errors

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".png": "image/png",
}
_OTHER = "application/octet-stream"

_TEXT = {"schema": {"type": "string"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PARTS: Final[dict[str, Any]] = {"multipart/byteranges": _BINARY}
_PAGE: Final[dict[str, Any]] = {"text/html": _TEXT}
_FILE: Final[dict[str, Any]] = {
    _OTHER: _BINARY,
    "application/json": {},
    "application/jsonl": _TEXT,
    "image/png": _BINARY,
} | _PAGE


def _responses(what: str, content: dict[str, Any]) -> Responses:
    return {
        200: {"description": what, "content": content},
        206: {"description": "The bytes that `Range` asks for.", "content": content | _PARTS},
    } | documented_errors(InvalidRange)


REPORT_RESPONSES: Final = _responses("The report.", _PAGE)
FILE_RESPONSES: Final = _responses("The file.", _FILE)


async def _range_header(
    _: Annotated[
        str | None,
        Header(
            alias="Range",
            max_length=1000,
            examples=["bytes=0-1023"],
            description="The part of the file to send. A malformed value is ignored.",
        ),
    ] = None,
) -> None:
    """Declares the header, which the answer reads by itself."""


RANGE_HEADER: Final = [Depends(_range_header)]
"""`dependencies` of a route that answers a file."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the store on this machine, for an answer that is sent after the request was handled."""

    path: Path
    _held: ExitStack

    @classmethod
    async def open(cls, file: AbstractContextManager[Path]) -> Self:
        """The file stays until `close`. A file of a remote store is copied first, which may take a while."""
        with ExitStack() as held:
            path = await threads.call(held.enter_context, file)
            return cls(path, held.pop_all())

    def close(self) -> None:
        self._held.close()


class _Download(FileResponse):
    """Closes its file however the answer ends, also if the client leaves."""

    def __init__(self, file: LocalFile, headers: dict[str, str], media_type: str) -> None:
        super().__init__(file.path, headers=headers, media_type=media_type)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        """Starlette answers plain text where it cannot use the header; here a malformed one is ignored (RFC 9110,
        §14.2), and one beyond the file's end gets the envelope. Raises: InvalidRange."""
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable:
            raise InvalidRange(f"The range is outside the file, which has {file_size} bytes.", size=file_size) from None


def file_response(file: LocalFile) -> FileResponse:
    """Sends the file and closes it.

    Its labels and messages came from strangers, so no script runs and nothing is loaded from elsewhere. The report
    escapes class names as well; these headers are a second defence."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return _Download(file, headers, _TYPES.get(file.path.suffix, _OTHER))
