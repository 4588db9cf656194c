"""Files (reports, cards, weights, pictures, stored videos), sent with headers that forbid scripts in browsers."""

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

_POLICY: Final = (  # sandbox: a page cannot lead to another one by itself either
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; sandbox"
)
_VIDEO_POLICY: Final = (  # a browser that shows the file by itself makes a page with a player or a picture around it
    "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".png": "image/png",
}
_OTHER = "application/octet-stream"
_VIDEO_TYPES: Final = (  # where the mark of a format begins, the mark, the media type; the first that fits counts
    (4, b"ftypqt  ", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"GIF8", "image/gif"),
    (0, b"OggS", "video/ogg"),
)
_MATROSKA: Final = "video/x-matroska"
_HEAD_BYTES: Final = 4096

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
VIDEO_RESPONSES: Final = _responses(
    "The video.", dict.fromkeys((*(kind for _, _, kind in _VIDEO_TYPES), _MATROSKA, _OTHER), _BINARY)
)


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


async def video_response(file: LocalFile, name: str) -> FileResponse:
    """Sends a stored video, which a browser plays in its place, and closes it.

    A stranger sent it, and it may be anything: its type is always that of a video or of no known kind, so that no
    browser takes it for a page or a script. name: of the file, where a user saves it."""
    media_type = video_type(await threads.call(_read_head, file.path))
    headers = {
        "Content-Disposition": f'inline; filename="{name}"',
        "Content-Security-Policy": _VIDEO_POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    return _Download(file, headers, media_type)


def video_type(head: bytes) -> str:
    """The media type of a video by its first bytes, also of one that nobody has decoded yet."""
    found = next((kind for at, mark, kind in _VIDEO_TYPES if head[at:].startswith(mark)), _OTHER)
    return _MATROSKA if found == "video/webm" and b"webm" not in head else found


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
