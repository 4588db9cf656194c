"""Files that a worker wrote (reports, cards, weights, pictures), sent with headers that forbid scripts in browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi.responses import FileResponse

from service.http.openapi import Responses

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".png": "image/png"}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
REPORT_RESPONSES: Final[Responses] = {
    200: {"description": "The report.", "content": {"text/html": {"schema": {"type": "string"}}}}
}
FILE_RESPONSES: Final[Responses] = {
    200: {"description": "The file; `Range` is supported.", "content": {"application/octet-stream": _BINARY}}
}


def file_response(path: Path) -> FileResponse:
    """The file at `path`. Its labels and messages came from strangers, so no script runs and nothing is loaded from
    elsewhere. The report escapes class names as well; these headers are a second defence."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, headers=headers, media_type=_TYPES.get(path.suffix, "application/octet-stream"))
