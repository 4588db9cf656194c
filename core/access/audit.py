"""The audit log: who made or revoked a key, who changed what others are answered with, and who cleared, copied or
restored what is stored.

It is a stream in Redis, beside the jobs, and each entry is a line of the log as well. The newest 100,000 entries stay.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any, cast

import redis
import redis.asyncio
from pydantic import BaseModel, ConfigDict, Field

from core.state import keys

log = logging.getLogger("vireo.audit")

MOST_ENTRIES = 100_000


class AuditEntry(BaseModel):
    """One action."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: float = Field(description="unix seconds")
    action: str = Field(description="such as `key.create` or `backup`, or the method and path of a request")
    key: str | None = Field(None, description="id of the key that was used; null for a command on the server")
    project: str | None = None
    target: str | None = Field(None, description="what it was done to")
    status: int | None = Field(None, description="status of the answer, for a request")
    request_id: str | None = None


def write_entry(client: redis.Redis, action: str, target: str, project: str | None = None) -> None:
    """For commands on the server. Raises: redis.RedisError."""
    _write(client, AuditEntry(at=time.time(), action=action, target=target, project=project))


async def write_request(client: redis.asyncio.Redis, entry: AuditEntry) -> None:
    """For gateways. Raises: redis.RedisError."""
    await _write(client, entry)


def entries(client: redis.Redis, most: int) -> Iterator[AuditEntry]:
    """The newest `most` entries, the oldest of them first. Raises: redis.RedisError."""
    found = cast(list[tuple[str, dict[str, str]]], client.xrevrange(keys.AUDIT, count=most))
    return (AuditEntry.model_validate_json(fields["entry"]) for _, fields in reversed(found))


def _write(client: Any, entry: AuditEntry) -> Any:
    log.info("audit", extra={"fields": entry.model_dump(exclude_none=True)})
    return client.xadd(keys.AUDIT, {"entry": entry.model_dump_json(exclude_none=True)}, maxlen=MOST_ENTRIES)
