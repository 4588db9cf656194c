"""GET /: the page on which a person asks about a video. One file, no build step, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

_PAGE = (Path(__file__).parents[1] / "page" / "index.html").read_text(encoding="utf-8")

# The page holds its own style and script, and a preview of a local file; it may talk to this server only.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; media-src blob:"
)


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})
