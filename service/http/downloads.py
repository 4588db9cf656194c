"""Files that a worker wrote, served to people: what may run in a browser is nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastapi.responses import FileResponse

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".png": "image/png"}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The report.", "content": {"text/html": {"schema": {"type": "string"}}}}
}
FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file; `Range` is honoured.", "content": {"application/octet-stream": _BINARY}}
}


def answer(path: Path) -> FileResponse:
    """Its labels and messages came from strangers: no script runs, nothing is loaded from elsewhere. Class names reach
    the page as text only; this is the second wall behind that."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, headers=headers, media_type=_TYPES.get(path.suffix, "application/octet-stream"))
