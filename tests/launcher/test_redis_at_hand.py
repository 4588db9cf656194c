from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from launcher.data_dir import hold_data_dir, redis_address
from launcher.redis_at_hand import NoRedis, redis_at_hand


def test_the_embedded_redis_runs_for_the_block_and_keeps_what_was_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=None)
    with redis_at_hand(settings) as redis:
        redis.set("a", "b")
    assert not (settings.run_dir / "redis.sock").exists()
    with redis_at_hand(settings) as redis:
        assert redis.get("a") == "b"


def test_a_running_copy_is_asked_where_its_redis_is(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=None)
    with hold_data_dir(settings):
        with pytest.raises(NoRedis, match="not started its Redis yet"), redis_at_hand(settings):
            pass
        redis_address(settings).write_text(redis_url)
        with redis_at_hand(settings) as redis:
            assert redis.ping()
    assert not (tmp_path / "redis").exists()


def test_a_redis_that_is_away_is_said_in_words(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=f"unix://{tmp_path}/none.sock")
    with pytest.raises(NoRedis, match="cannot be reached"), redis_at_hand(settings):
        pass
