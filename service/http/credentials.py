"""Where a request carries its API key: two headers, and the cookie of the page.

The cookie is sent by browsers only, and `origins` refuses writes of other sites, so it needs no token against forgery.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "vireo_key"
_COOKIE_SECONDS: Final = 30 * 24 * 3600


def credential(request: Request) -> str | None:
    """What was sent as a key, whether it is one or not. None if nothing was."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("x-api-key") or request.cookies.get(COOKIE)


def remember(response: Response, request: Request, token: str) -> None:
    """Let the browser send the key from now on. Scripts cannot read it."""
    response.set_cookie(
        COOKIE, token, max_age=_COOKIE_SECONDS, httponly=True, samesite="strict", secure=_is_encrypted(request)
    )


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _is_encrypted(request: Request) -> bool:
    """Whether the browser speaks TLS, with this server or with a proxy before it."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
