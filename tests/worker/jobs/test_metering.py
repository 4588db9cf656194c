from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from limits import RateLimitItemPerDay
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from core.access.keys import Quotas
from core.access.ring import KeyRing
from core.logs.belonging import KEY_ID
from worker.jobs.metering import Metering


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, decode_responses=True)


@pytest.fixture(autouse=True)
def no_key() -> Iterator[None]:
    token = KEY_ID.set(None)
    yield
    KEY_ID.reset(token)


def used(client: redis.Redis, key_id: str) -> int:
    window = FixedWindowRateLimiter(
        RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="vireo:usage")
    )
    return 100 - window.get_window_stats(RateLimitItemPerDay(100), key_id, "video_seconds").remaining


def test_what_a_job_takes_is_counted_for_its_key(client: redis.Redis) -> None:
    quotas = Quotas(video_seconds_per_day=100)
    key, other = (KeyRing(client).create(name, ("classify",), "default", quotas=quotas)[0] for name in "ab")
    metering = Metering(client)
    metering.count("video_seconds", 50.0)  # a job without a key
    KEY_ID.set(key.id)
    metering.count("video_seconds", 2.5)
    metering.count("video_seconds", 4.0)
    metering.count("training_minutes", 9.0)  # has no quota
    assert (used(client, key.id), used(client, other.id)) == (7, 0)
    KeyRing(client).revoke(key.id)
    metering.count("video_seconds", 4.0)
    assert used(client, key.id) == 7


def test_a_redis_that_is_away_costs_no_answer(tmp_path: Path) -> None:
    KEY_ID.set("0" * 12)
    Metering(redis.Redis(unix_socket_path=f"{tmp_path}/none.sock")).count("video_seconds", 1.0)
