"""The keys of an installation, in Redis: made and revoked by the command `vireo keys`, read by the gateways.

A revoked key is deleted, so it stops working with the next request.
"""

from __future__ import annotations

import time
from typing import cast

import redis
import redis.asyncio

from core.access.keys import ApiKey, Project, Quotas, Token, new_token
from core.access.scopes import Scope
from core.state import keys


class KeyRing:
    """For commands. Every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        """`client`: decodes its answers."""
        self._redis = client

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        project: Project,
        lifetime: float | None = None,
        quotas: Quotas | None = None,
    ) -> tuple[ApiKey, Token]:
        """A new key, and its token, which nothing can show again. `lifetime`: seconds; None: no end."""
        token, now = new_token(), time.time()
        key = ApiKey(
            id=token.id,
            name=name,
            project=project,
            scopes=scopes,
            digest=token.digest,
            created_at=now,
            expires_at=now + lifetime if lifetime is not None else None,
            quotas=quotas or Quotas(),
        )
        self._redis.hset(keys.API_KEYS, key.id, key.model_dump_json())
        return key, token

    def all(self) -> list[ApiKey]:
        """The oldest first."""
        records = cast(dict[str, str], self._redis.hgetall(keys.API_KEYS))
        return sorted(map(ApiKey.model_validate_json, records.values()), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> bool:
        """False if there is no such key."""
        return bool(self._redis.hdel(keys.API_KEYS, key_id))


class Doorkeeper:
    """For gateways: who a token belongs to."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """`client`: decodes its answers."""
        self._redis = client

    async def owner(self, token: Token) -> ApiKey | None:
        """The key that the token belongs to, expired or not. None for any other token. Raises: redis.RedisError."""
        record = cast(str | None, await self._redis.hget(keys.API_KEYS, token.id))
        key = ApiKey.model_validate_json(record) if record else None
        return key if token.opens(key) else None

    async def has_keys(self) -> bool:
        """Raises: redis.RedisError."""
        return bool(await self._redis.hlen(keys.API_KEYS))
