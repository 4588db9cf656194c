"""Against a real Redis."""

from __future__ import annotations

import pytest
import redis
import redis.asyncio

from core.access.audit import MOST_ENTRIES, entries, write_entry
from core.access.keys import Quotas, Token
from core.access.quotas import Meter, Turnstile
from core.access.ring import Doorkeeper, KeyRing

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, decode_responses=True)


async def owner(url: str, token: Token) -> str | None:
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        key = await Doorkeeper(client).owner(token)
        return key.name if key else None


async def test_a_key_is_known_until_it_is_revoked(client: redis.Redis, redis_url: str) -> None:
    ring = KeyRing(client)
    key, token = ring.create("a", ("classify",), "default", lifetime=60.0)
    assert await owner(redis_url, token) == "a"
    assert await owner(redis_url, Token(token.id, "x" * 43)) is None
    assert [each.id for each in ring.all()] == [key.id]
    assert key.expires_at == key.created_at + 60.0
    assert ring.revoke(key.id)
    assert not ring.revoke(key.id)
    assert await owner(redis_url, token) is None


async def test_whether_there_are_keys(client: redis.Redis, redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as other:
        assert not await Doorkeeper(other).has_keys()
        KeyRing(client).create("a", ("admin",), "default")
        assert await Doorkeeper(other).has_keys()


def test_no_secret_is_in_redis(client: redis.Redis) -> None:
    _, token = KeyRing(client).create("a", ("classify",), "default")
    everything = [client.dump(name) for name in client.keys("*")]
    raw = redis.Redis(connection_pool=client.connection_pool).hgetall("vireo:keys")
    assert token.secret not in str(raw)
    assert everything


async def test_requests_are_counted_per_key(redis_url: str) -> None:
    pool = redis.asyncio.ConnectionPool.from_url(redis_url, decode_responses=True)
    turnstile, quotas = Turnstile(pool), Quotas(requests_per_minute=2)
    passed = [(await turnstile.pass_one("a", quotas))[0] for _ in range(3)]
    assert passed == [True, True, False]
    first, window = await turnstile.pass_one("b", quotas)
    assert first
    assert window is not None
    assert (window.limit, window.remaining) == (2, 1)
    assert await turnstile.pass_one("a", Quotas()) == (True, None)
    await pool.disconnect()


async def test_what_workers_count_is_what_gateways_see(redis_url: str) -> None:
    quotas = Quotas(video_seconds_per_day=100, training_minutes_per_day=5)
    Meter(redis.ConnectionPool.from_url(redis_url)).count("a", quotas, {"video_seconds": 9.2, "training_minutes": 7.0})
    pool = redis.asyncio.ConnectionPool.from_url(redis_url, decode_responses=True)
    video = await Turnstile(pool).left("a", quotas, "video_seconds")
    training = await Turnstile(pool).left("a", quotas, "training_minutes")
    assert video is not None
    assert training is not None
    assert (video.remaining, training.remaining) == (90, 0)  # parts count as a whole
    assert await Turnstile(pool).left("a", Quotas(), "video_seconds") is None
    await pool.disconnect()


def test_the_audit_log_keeps_its_order(client: redis.Redis) -> None:
    for number in range(3):
        write_entry(client, "key.create", str(number))
    assert [entry.target for entry in entries(client, 2)] == ["1", "2"]
    assert MOST_ENTRIES == 100_000
