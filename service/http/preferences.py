"""The request headers that say how the client wants to be answered: `Prefer`, `Idempotency-Key` and `Webhook-URL`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header

from core.uploads.targets import MAX_URL_CHARS

_WAIT = re.compile(r"wait=([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Preferences:
    respond_async: bool = False
    """`Prefer: respond-async`: answer 202 with the job at once."""

    wait: float | None = None
    """`Prefer: wait=N`: seconds to wait for the job to end; the server's deadline is the upper limit."""

    idempotency_key: str | None = None
    """`Idempotency-Key`: a repeated request with the same key is answered with the same job."""

    webhook: str | None = None
    """`Webhook-URL`: the URL to which the end of the job is announced."""


PreferHeader = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=1000,
        description="`respond-async`: answer 202 with the job at once. `wait=N`: wait at most N seconds for the job. "
        "Other preferences are ignored.",
        examples=["respond-async", "wait=10"],
    ),
]
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="A repeated request with the same key gets the answer to the first one.",
    ),
]


WebhookHeader = Annotated[
    str | None,
    Header(
        alias="Webhook-URL",
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="An http or https URL with a public address. Once the job has ended, it is sent there, signed. "
        "A repeated request keeps the URL of the first one.",
        examples=["https://example.org/vireo"],
    ),
]


def read_preferences(prefer: list[str], idempotency_key: str | None, webhook: str | None = None) -> Preferences:
    """`prefer`: the values of all `Prefer` headers."""
    tokens = [token.strip().lower() for value in prefer for token in re.split("[,;]", value)]
    waits = [int(match[1]) for match in map(_WAIT.fullmatch, tokens) if match]
    return Preferences("respond-async" in tokens, float(min(waits)) if waits else None, idempotency_key, webhook)
