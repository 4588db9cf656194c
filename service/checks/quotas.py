"""Whether a key has used up what it may use. Work that was accepted goes on; only new work is refused."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request

from core.access.keys import ApiKey
from core.access.quotas import Resource
from core.errors import QuotaExceeded, VireoError
from service.gateway import Gateway

_WORK: Final[dict[str, Resource]] = {
    "classify": "video_seconds",
    "videos": "video_seconds",
    "embeddings": "video_seconds",
    "batches": "video_seconds",
    "training": "training_minutes",
}
"""Tag of the routes that make jobs → what the jobs take."""

_UPLOADS: Final = frozenset({"/v1/classify", "/v1/videos", "/v1/datasets", "/v1/embeddings"})
_STORING_ONLY: Final = "/v1/videos"
_WORDS: Final[dict[Resource, str]] = {"video_seconds": "seconds of video", "training_minutes": "minutes of training"}


async def check_quotas(request: Request, gateway: Gateway, key: ApiKey) -> None:
    """`gateway`: as the key's project sees it. Raises: QuotaExceeded."""
    if request.method != "POST":
        return
    path: str = request.scope["route"].path
    resources = {_WORK[tag] for tag in request.scope["route"].tags if tag in _WORK and path != _STORING_ONLY}
    for resource in resources:
        await _check_work(gateway, key, resource)
    if path in _UPLOADS:
        await _check_storage(gateway, key)


async def _check_work(gateway: Gateway, key: ApiKey, resource: Resource) -> None:
    left = await gateway.turnstile.left(key.id, key.quotas, resource)
    if left is None or left.remaining > 0:
        return
    error = QuotaExceeded(
        f"The API key has used its {left.limit} {_WORDS[resource]} in 24 hours.",
        hint="Wait, or ask the operator for more.",
        quota=f"{resource}_per_day",
        limit=left.limit,
    )
    error.retry_after = left.seconds_left(time.time())
    raise error


async def _check_storage(gateway: Gateway, key: ApiKey) -> None:
    most = key.quotas.stored_bytes
    if most is None or await gateway.usage.stored_bytes() < most:
        return
    error: VireoError = QuotaExceeded(
        f"The project {key.project} stores as much as the API key may store: {most} bytes.",
        hint="Delete videos or datasets, or ask the operator for more.",
        quota="stored_bytes",
        limit=most,
    )
    error.retry_after = None  # waiting does not help
    raise error
