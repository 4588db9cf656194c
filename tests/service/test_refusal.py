from __future__ import annotations

from pathlib import Path

import pytest
import redis

from core.access.ring import KeyRing
from core.settings import Settings
from service.server import refuse_unguarded


def settings(redis_url: str, host: str, **others: str) -> Settings:
    return Settings(redis_url=redis_url, host=host, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_on_loopback_no_key_is_needed(redis_url: str, host: str) -> None:
    refuse_unguarded(settings(redis_url, host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_elsewhere_the_gateway_does_not_start_without_a_key(redis_url: str, host: str) -> None:
    with pytest.raises(SystemExit, match="vireo keys create"):
        refuse_unguarded(settings(redis_url, host))
    refuse_unguarded(settings(redis_url, host, keys="off"))
    KeyRing(redis.Redis.from_url(redis_url, decode_responses=True)).create("a", ("admin",), "default")
    refuse_unguarded(settings(redis_url, host))


def test_in_a_container_the_published_address_counts(redis_url: str) -> None:
    refuse_unguarded(settings(redis_url, "0.0.0.0", published_host="127.0.0.1"))
    with pytest.raises(SystemExit):
        refuse_unguarded(settings(redis_url, "127.0.0.1", published_host="0.0.0.0"))


def test_without_redis_it_starts_and_answers_nobody_without_a_key(tmp_path: Path) -> None:
    refuse_unguarded(settings(f"unix://{tmp_path}/none.sock", "0.0.0.0"))
