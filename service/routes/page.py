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


_PAGES: Final = {
    "/": ("index.html", _PAGE_POLICY),
    "/page/app.js": ("app.js", _PAGE_POLICY),
    "/page/style.css": ("style.css", _PAGE_POLICY),
    "/docs": ("docs.html", _DOCS_POLICY),
    "/docs/docs.js": ("docs.js", _DOCS_POLICY),
    "/docs/swagger-ui-bundle.js": ("swagger-ui-bundle.js", _DOCS_POLICY),
    "/docs/swagger-ui.css": ("swagger-ui.css", _DOCS_POLICY),
}
"""Path → file and content security policy."""


def _serve(path: str, name: str, policy: str) -> None:
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    @router.get(path, name=name, include_in_schema=False)
    async def get_file() -> Response:
        return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers=headers)


for _path, (_name, _policy) in _PAGES.items():
    _serve(_path, _name, _policy)
