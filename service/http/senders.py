"""Who sends a request: a client that was refused finds the place that the queue keeps for it when it comes back."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from core.state.fairness import ANYBODY, Sender

SENDER: ContextVar[Sender] = ContextVar("sender", default=ANYBODY)
"""Of the request that is being handled."""

FIRST: Final = "vireo.first"
"""Key of a scope: whether its request is the first one of its connection."""

_SAME: Final = ("authorization", "x-api-key", "user-agent", "content-length")


def sender_of(scope: Scope) -> Sender:
    """By the `Idempotency-Key`; else by the connection. A new connection may be that of any client that was refused
    and whose request had the same head."""
    headers = Headers(scope=scope)
    if (key := headers.get("idempotency-key")) is not None:
        return Sender(own := f"{_digest('key', key)}#", own)
    host, port = scope.get("client") or ("", 0)
    parts = [scope["method"], scope["path"], scope["query_string"].decode("latin-1"), host]
    head = _digest(*parts, *(headers.get(name, "") for name in _SAME))
    own = f"{head}:{port}#"
    return Sender(own, f"{head}:" if scope.get(FIRST) else own)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
