"""GET /, /teach and /labels: the views of the web page. GET /docs: the API, shown by Swagger UI. GET /openapi.json: its
document.

Plain files, no build step, nothing from other hosts. Swagger UI comes with the package `fastapi-swagger`.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

router = APIRouter()

_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOLDER: Final = Path(__file__).parents[1] / "page"
_DOCS: Final = _FOLDER / "docs"
_SWAGGER: Final = resources.files("fastapi_swagger") / "resources"

# The pages use their own scripts and styles, and may connect to this server only.
_OWN = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'"
_PAGE_POLICY = f"{_OWN}; media-src 'self' blob:; img-src 'self'"  # blob: the preview of a local file
_DOCS_POLICY = f"{_OWN}; img-src data:"  # the icons of Swagger UI


async def _get_document(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


router.add_api_route("/openapi.json", _get_document, name="openapi", include_in_schema=False)


def _is_part(file: Path) -> bool:
    return file.suffix in (".js", ".css", ".svg") and file.parent != _DOCS


_PAGE_FILES: Final = {
    "/": _FOLDER / "index.html",
    "/labels": _FOLDER / "labels.html",
    "/teach": _FOLDER / "teach.html",
    **{f"/page/{file.relative_to(_FOLDER)}": file for file in sorted(_FOLDER.rglob("*.*")) if _is_part(file)},
}
_DOCS_FILES: Final = {
    "/docs": _DOCS / "docs.html",
    "/docs/docs.js": _DOCS / "docs.js",
    "/docs/swagger-ui-bundle.js": _SWAGGER / "swagger-ui-bundle.js",
    "/docs/swagger-ui.css": _SWAGGER / "swagger-ui.css",
}


def _serve(path: str, file: Traversable, policy: str) -> None:
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    content, media_type = file.read_bytes(), _TYPES[Path(file.name).suffix]

    @router.get(path, name=file.name, include_in_schema=False)
    async def get_file() -> Response:
        return Response(content, media_type=media_type, headers=headers)


for _files, _policy in ((_PAGE_FILES, _PAGE_POLICY), (_DOCS_FILES, _DOCS_POLICY)):
    for _path, _file in _files.items():
        _serve(_path, _file, _policy)
