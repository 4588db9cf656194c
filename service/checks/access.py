"""Who may use which route. `authorize` is a dependency of the whole application, so that no route can forget it."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request

from core.access.audit import AuditEntry
from core.access.keys import UNGUARDED, ApiKey, read_token
from core.access.quotas import Window
from core.access.scopes import Scope
from core.errors import Forbidden, RateLimited, Unauthenticated
from core.logs.belonging import KEY_ID, REQUEST_ID
from service.checks.quotas import check_quotas
from service.gateway import Gateway
from service.http.credentials import credential
from service.http.outcome import Outcome

_READS: Final = frozenset({"GET", "HEAD"})
_OPEN: Final = frozenset({"/livez", "/readyz", "/v1/session"})
_CLOSABLE: Final = {"/metrics": "metrics", "/openapi.json": "docs", "/docs": "docs"}

_BY_TAG: Final[dict[str, tuple[Scope, Scope]]] = {
    "datasets": ("train", "train"),
    "training": ("train", "train"),
    "evaluations": ("train", "train"),
    "calibrations": ("train", "train"),
    "models": ("classify", "admin"),
}
"""Tag of a route → what a key needs to read, and to change something. Every other route needs `classify`."""

_HINT = "Send it as `Authorization: Bearer …` or `X-API-Key`. Operators make keys with `vireo keys create`."


async def authorize(request: Request) -> None:
    """Find out who asks, and whether they may. Raises: Unauthenticated, Forbidden, RateLimited,
    QuotaExceeded."""
    needed = _needed(request, request.app.state.settings.closed)
    if needed is None:
        return
    gateway: Gateway = request.app.state.gateway
    key = await identify(request, gateway)
    request.state.key, request.state.project = key, key.project
    KEY_ID.set(key.id or None)
    if needed == "admin" and request.method not in _READS:
        _outcome(request).audit = _entry(request, key)
    if not key.allows(needed):
        raise Forbidden(f"The API key lacks the scope {needed!r}.", hint="Use a key that has it.", scope=needed)
    await _count(request, gateway, key)
    await check_quotas(request, gateway.of(key.project), key)


async def identify(request: Request, gateway: Gateway, sent: str | None = None) -> ApiKey:
    """The key that the request was sent with, or `sent` in another way. Raises: Unauthenticated."""
    if not await _needs_key(gateway):
        return UNGUARDED
    sent = sent or credential(request)
    if sent is None:
        raise Unauthenticated("This server needs an API key.", hint=_HINT)
    token = read_token(sent)
    key = await gateway.doorkeeper.owner(token) if token else None
    if key is None:
        raise Unauthenticated("The API key is not valid.", hint="It may have been revoked. " + _HINT)
    if key.expired(time.time()):
        raise Unauthenticated("The API key has expired.", hint="Operators make keys with `vireo keys create`.")
    return key


async def _needs_key(gateway: Gateway) -> bool:
    match gateway.settings.keys:
        case "off":
            return False
        case "required":
            return True
        case "auto":
            return not gateway.settings.local or await gateway.doorkeeper.has_keys()


def _needed(request: Request, closed: frozenset[str]) -> Scope | None:
    """None for a route that anybody may ask."""
    route = request.scope["route"]
    if (name := _CLOSABLE.get(route.path)) is not None:
        return ("admin" if name == "metrics" else "classify") if name in closed else None
    if route.path in _OPEN or not route.path.startswith("/v1/"):
        return None  # the page's files are no secret; what they show is
    reads, writes = next((_BY_TAG[tag] for tag in route.tags if tag in _BY_TAG), ("classify", "classify"))
    return reads if request.method in _READS else writes


async def _count(request: Request, gateway: Gateway, key: ApiKey) -> None:
    """Raises: RateLimited."""
    passed, window = await gateway.turnstile.pass_one(key.id, key.quotas)
    if window is None:
        return
    _outcome(request).headers |= _rate_headers(window)
    if not passed:
        error = RateLimited(
            f"The API key may send {window.limit} requests per minute.", hint="Wait, then go on.", limit=window.limit
        )
        error.retry_after = window.seconds_left(time.time())
        raise error


def _rate_headers(window: Window) -> dict[str, str]:
    """As in draft-ietf-httpapi-ratelimit-headers-06, which most clients know."""
    return {
        "RateLimit-Limit": str(window.limit),
        "RateLimit-Remaining": str(window.remaining),
        "RateLimit-Reset": str(window.seconds_left(time.time())),
        "RateLimit-Policy": f"{window.limit};w=60",
    }


def _outcome(request: Request) -> Outcome:
    return Outcome.of(request.scope)


def _entry(request: Request, key: ApiKey) -> AuditEntry:
    return AuditEntry(
        at=time.time(),
        action=f"{request.method} {request.scope['route'].path}",
        target=request.url.path[:500],
        key=key.id or None,
        project=key.project,
        request_id=REQUEST_ID.get(),
    )
