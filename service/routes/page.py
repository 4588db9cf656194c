"""GET /: the web page, on which a person asks about a video. GET /docs: the API, shown by Swagger UI.

Plain files, no build step, nothing from other hosts. Swagger UI comes with the package `fastapi-swagger`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

router = APIRouter()

_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FOLDER = Path(__file__).parents[1] / "page"
_SWAGGER = resources.files("fastapi_swagger") / "resources"
_FILES = {name: (_FOLDER / name).read_bytes() for name in ("index.html", "app.js", "style.css", "docs.html", "docs.js")}
_FILES |= {name: (_SWAGGER / name).read_bytes() for name in ("swagger-ui-bundle.js", "swagger-ui.css")}

# The pages use their own scripts and styles, and may connect to this server only.
_OWN = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'"
_PAGE_POLICY = f"{_OWN}; media-src blob:"  # a preview of a local file
_DOCS_POLICY = f"{_OWN}; img-src data:"  # the icons of Swagger UI


@router.get("/", include_in_schema=False)
async def get_page() -> Response:
    return _answer("index.html", _PAGE_POLICY)


@router.get("/page/app.js", include_in_schema=False)
async def get_page_script() -> Response:
    return _answer("app.js", _PAGE_POLICY)


@router.get("/page/style.css", include_in_schema=False)
async def get_page_style() -> Response:
    return _answer("style.css", _PAGE_POLICY)


@router.get("/docs", include_in_schema=False)
async def get_docs() -> Response:
    return _answer("docs.html", _DOCS_POLICY)


@router.get("/docs/docs.js", include_in_schema=False)
async def get_docs_script() -> Response:
    return _answer("docs.js", _DOCS_POLICY)


@router.get("/docs/swagger-ui-bundle.js", include_in_schema=False)
async def get_swagger_script() -> Response:
    return _answer("swagger-ui-bundle.js", _DOCS_POLICY)


@router.get("/docs/swagger-ui.css", include_in_schema=False)
async def get_swagger_style() -> Response:
    return _answer("swagger-ui.css", _DOCS_POLICY)


def _answer(name: str, policy: str) -> Response:
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers=headers)
