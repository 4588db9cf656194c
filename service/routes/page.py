"""GET /: the web page, on which a person asks about a video. Plain files, no build step, nothing from other hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

router = APIRouter()

_FOLDER = Path(__file__).parents[1] / "page"
_TYPES: Final = {"index.html": "text/html", "app.js": "text/javascript", "style.css": "text/css"}
_FILES = {name: (_FOLDER / name).read_bytes() for name in _TYPES}

# The page uses its own script and style and shows a preview of a local file. It may connect to this server only.
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; media-src blob:"


@router.get("/", include_in_schema=False)
async def get_page() -> Response:
    return _answer("index.html")


@router.get("/page/app.js", include_in_schema=False)
async def get_page_script() -> Response:
    return _answer("app.js")


@router.get("/page/style.css", include_in_schema=False)
async def get_page_style() -> Response:
    return _answer("style.css")


def _answer(name: str) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)
