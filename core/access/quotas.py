"""What each key has used, counted in Redis by the library `limits`: gateways count requests, workers what jobs take.

Requests are counted before they are answered, in a window that moves along. What a job takes is known once it has
ended: so the first job beyond a quota is refused, not the one that reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import redis
import redis.asyncio
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage as AsyncRedisStorage
from limits.aio.strategies import FixedWindowRateLimiter as AsyncFixedWindow
from limits.aio.strategies import MovingWindowRateLimiter as AsyncMovingWindow
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from core.access.keys import Quotas

Resource = Literal["video_seconds", "training_minutes"]
"""What jobs take."""

_PREFIX: Final = "vireo:usage"
_ANY_REDIS: Final = "redis://"  # the address is that of the pool


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a limit is left."""

    limit: int
    remaining: int
    reset_at: float
    """Unix seconds at which the count starts anew."""

    def seconds_left(self, now: float) -> int:
        """At least 1, for `Retry-After`."""
        return max(1, math.ceil(self.reset_at - now))


class Turnstile:
    """For gateways. Every method raises redis.RedisError."""

    def __init__(self, pool: redis.asyncio.ConnectionPool) -> None:
        storage = AsyncRedisStorage(
            _ANY_REDIS,
            implementation="redispy",
            key_prefix=_PREFIX,
            connection_pool=pool,  # type: ignore[arg-type]
        )
        self._rates = AsyncMovingWindow(storage)
        self._quotas = AsyncFixedWindow(storage)

    async def pass_one(self, key_id: str, quotas: Quotas) -> tuple[bool, Window | None]:
        """Count a request. Returns whether it may pass, and what is left; None for a key without a rate."""
        if quotas.requests_per_minute is None:
            return True, None
        item = RateLimitItemPerMinute(quotas.requests_per_minute)
        passed = await self._rates.hit(item, key_id, "requests")
        reset_at, remaining = await self._rates.get_window_stats(item, key_id, "requests")
        return passed, Window(item.amount, remaining, reset_at)

    async def left(self, key_id: str, quotas: Quotas, resource: Resource) -> Window | None:
        """None for a key without a quota."""
        item = _item(quotas, resource)
        if item is None:
            return None
        reset_at, remaining = await self._quotas.get_window_stats(item, key_id, resource)
        return Window(item.amount, remaining, reset_at)


class Meter:
    """For workers: counts what a job has taken, for the key that asked for it. Raises: redis.RedisError.

    Their connections repeat a command whose answer was lost, so a job that ends while Redis restarts may count twice.
    """

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._used = FixedWindowRateLimiter(RedisStorage(_ANY_REDIS, connection_pool=pool, key_prefix=_PREFIX))

    def count(self, key_id: str, quotas: Quotas, taken: Mapping[Resource, float]) -> None:
        """Parts of a second or minute count as a whole one."""
        for resource, amount in taken.items():
            if (item := _item(quotas, resource)) and amount > 0:
                self._used.hit(item, key_id, resource, cost=math.ceil(amount))


def _item(quotas: Quotas, resource: Resource) -> RateLimitItem | None:
    most = quotas.video_seconds_per_day if resource == "video_seconds" else quotas.training_minutes_per_day
    return None if most is None else RateLimitItemPerDay(most)
