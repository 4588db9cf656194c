"""What a request's headers say about how it wants to be answered."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from core.errors import InvalidRequest

_WAIT = re.compile(r"wait=(\d{1,6})")
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Wishes:
    detached: bool = False
    """`Prefer: respond-async`: answer 202 with the job at once."""

    wait: float | None = None
    """`Prefer: wait=N`: seconds that the client is willing to wait, if less than the server's deadline."""

    key: str | None = None
    """`Idempotency-Key`: repeats of the request are answered with the same job."""


def read(headers: Headers) -> Wishes:
    """Raises: InvalidRequest."""
    preferences = [p.strip().lower() for value in headers.getlist("prefer") for p in re.split("[,;]", value)]
    waits = [int(match[1]) for match in map(_WAIT.fullmatch, preferences) if match]
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters.")
    return Wishes("respond-async" in preferences, float(min(waits)) if waits else None, key)
