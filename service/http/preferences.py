"""The request headers that say how the client wants to be answered: `Prefer` and `Idempotency-Key`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from core.errors import InvalidRequest

_WAIT = re.compile(r"wait=(\d{1,6})")
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Preferences:
    respond_async: bool = False
    """`Prefer: respond-async`: answer 202 with the job at once."""

    wait: float | None = None
    """`Prefer: wait=N`: seconds to wait for the job to end; the server's deadline is the upper limit."""

    idempotency_key: str | None = None
    """`Idempotency-Key`: a repeated request with the same key is answered with the same job."""


def parse_preferences(headers: Headers) -> Preferences:
    """Raises: InvalidRequest."""
    tokens = [token.strip().lower() for value in headers.getlist("prefer") for token in re.split("[,;]", value)]
    waits = [int(match[1]) for match in map(_WAIT.fullmatch, tokens) if match]
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters.")
    return Preferences("respond-async" in tokens, float(min(waits)) if waits else None, key)
