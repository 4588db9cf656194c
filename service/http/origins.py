"""Who may use this server from a browser. It has no login, so a page of another site must neither write to it nor read
from it.

- DNS rebinding: the page's own host name is made to point here, and the browser takes the two for one site. Such a
  request carries that name in `Host`, so only names that the operator trusts are answered. An IP address cannot be
  rebound, and probes of orchestrators use one.
- Cross-site requests: browsers mark them in `Sec-Fetch-Site`, older ones in `Origin`. Writes are refused. Reads are
  answered, but without CORS headers, and with headers that keep other sites from embedding the answer. Only the bytes
  of stored videos are given to the sites that the operator names, so that a labelling tool can play them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import CrossSiteRequest, HostNotAllowed
from service.http.envelope import error_response

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT = re.compile(r"/v1/videos/[^/]+/content")
_LOOPBACK = ("localhost", "*.localhost")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^\s/?#@:\[\]\\]+))(?::\d*)?", re.IGNORECASE)
_PROTECTION = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PlayerOrigins:
    """Lets pages of the sites that the operator names play stored videos: their players read them with CORS."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins
        self._shared = CORSMiddleware(app, allow_origins=origins, allow_headers=("Range",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = (
            scope["type"] == "http"
            and _CONTENT.fullmatch(scope["path"]) is not None
            and Headers(scope=scope).get("origin") in self._origins
        )
        await (self._shared if shared else self._app)(scope, receive, send)


class OriginGuard:
    def __init__(self, app: ASGIApp, bound_host: str, trusted: frozenset[str]) -> None:
        """`trusted`: names besides the bound host and those of the loopback; `*.example.org` means all names below it,
        `*` means any name."""
        self._app = app
        self._names = frozenset({*_LOOPBACK, bound_host.lower(), *trusted})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _PROTECTION.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._check_host(headers.getlist("host"), scope["http_version"])
            if scope["method"] not in _READS:
                check_origin(headers)
        except (HostNotAllowed, CrossSiteRequest) as error:
            await error_response(error)(scope, receive, protected)
            return
        await self._app(scope, receive, protected)

    def _check_host(self, sent: list[str], version: str) -> None:
        """Raises: HostNotAllowed."""
        if not sent and version == "1.0":
            return  # no browser; the header came with HTTP/1.1
        match = _HOST.fullmatch(sent[0]) if len(sent) == 1 else None
        if match is None:
            raise HostNotAllowed("A request needs exactly one header Host, with a valid name.")
        if match["v6"] is None and not self._trusts(match["name"].lower().removesuffix(".")):
            raise HostNotAllowed(
                f"This server does not answer to the name {match['name'][:80]!r}.",
                hint="Operators add the names by which a server is reached to VIREO_TRUSTED_HOSTS.",
                host=match["name"][:80],
            )

    def _trusts(self, name: str) -> bool:
        if "*" in self._names or name in self._names or _is_address(name):
            return True
        return any(pattern[:2] == "*." and name.endswith(pattern[1:]) for pattern in self._names)


def check_origin(headers: Headers) -> None:
    """Clients that are no browsers send neither header. Raises: CrossSiteRequest."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        allowed = site in ("same-origin", "none")  # none: the user's own doing, for example a bookmark
    else:
        origin = headers.get("origin")
        allowed = origin is None or _authority(origin) == headers.get("host", "").lower()
    if not allowed:
        raise CrossSiteRequest(
            "A page of another site tried to use this server.",
            hint="Send the request from the server's own page, or from a program.",
        )


def _authority(origin: str) -> str | None:
    """Host and port of an origin. None for `null` and for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
