"""Files that a worker wrote (reports, cards, weights, pictures), sent with headers that forbid scripts in browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastapi.responses import FileResponse
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from core.errors import InvalidRange
from service.http.openapi import Responses, documented_errors

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".png": "image/png"}
_OTHER = "application/octet-stream"

_TEXT = {"schema": {"type": "string"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PARTS: Final[dict[str, Any]] = {"multipart/byteranges": _BINARY}
_PAGE: Final[dict[str, Any]] = {"text/html": _TEXT}
_FILE: Final[dict[str, Any]] = {_OTHER: _BINARY, "application/json": {}, "image/png": _BINARY} | _PAGE


def _responses(what: str, content: dict[str, Any]) -> Responses:
    return {
        200: {"description": what, "content": content},
        206: {"description": "The bytes that `Range` asks for.", "content": content | _PARTS},
    } | documented_errors(InvalidRange)


REPORT_RESPONSES: Final = _responses("The report.", _PAGE)
FILE_RESPONSES: Final = _responses("The file.", _FILE)

_LONGEST_RANGE = 1000  # characters
RANGE_HEADER: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Range",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": _LONGEST_RANGE},
            "example": "bytes=0-1023",
            "description": "The part of the file to send. A malformed or longer value is ignored.",
        }
    ]
}
"""`openapi_extra` of a route that answers a file."""


class _Download(FileResponse):
    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        """Starlette answers plain text where it cannot use the header; here a malformed one is ignored (RFC 9110,
        §14.2), and one beyond the file's end gets the envelope. Raises: InvalidRange."""
        if len(http_range) > _LONGEST_RANGE:
            return []
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable:
            raise InvalidRange(f"The range is outside the file, which has {file_size} bytes.", size=file_size) from None


def file_response(path: Path) -> FileResponse:
    """The file at `path`. Its labels and messages came from strangers, so no script runs and nothing is loaded from
    elsewhere. The report escapes class names as well; these headers are a second defence."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return _Download(path, headers=headers, media_type=_TYPES.get(path.suffix, _OTHER))
