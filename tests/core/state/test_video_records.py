"""The record of a stored video: who keeps it, and when it may be deleted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis

from core.records import StoredVideo, VideoFacts
from core.state import keys, video_records
from core.state.video_records import EXPIRE_UNLESS_KEPT, RECORD, SET_FACTS
from worker.jobs.connection import connect

SHA = "a" * 64
FACTS = VideoFacts(duration=2.0, width=64, height=48, codec="h264")


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url, decode=True)


def run(client: redis.Redis, script: str, args: tuple[list[str], list[str]]) -> Any:
    return client.register_script(script)(*args)


def record(client: redis.Redis, *, keep: bool = False, now: float = 100.0) -> int:
    return int(run(client, RECORD, video_records.record_args(SHA, 5, now, now + 60, keep=keep)))


def read(client: redis.Redis) -> StoredVideo:
    fields: Any = client.hgetall(keys.video(SHA))
    after: Any = client.zscore(keys.VIDEOS, SHA)
    return video_records.from_fields(fields, after)


def test_a_video_is_new_once_and_each_use_gives_it_time(client: redis.Redis) -> None:
    assert [record(client), record(client, now=200.0)] == [1, 0]
    found = read(client)
    assert (found.bytes, found.kept, found.created_at, found.expires_at, found.facts) == (5, False, 100.0, 260.0, None)


def test_a_video_that_is_kept_stays_kept(client: redis.Redis) -> None:
    for keep in (False, True, False):
        record(client, keep=keep)
    assert (read(client).kept, read(client).expires_at) == (True, None)
    assert client.zscore(keys.VIDEOS, SHA) == math.inf
    run(client, EXPIRE_UNLESS_KEPT, video_records.expire_args(SHA, 1.0))
    assert client.zscore(keys.VIDEOS, SHA) == math.inf


def test_an_unusable_video_may_go_at_once(client: redis.Redis) -> None:
    record(client)
    run(client, EXPIRE_UNLESS_KEPT, video_records.expire_args(SHA, 1.0))
    assert read(client).expires_at == 1.0


def test_a_video_that_is_being_deleted_cannot_be_recorded(client: redis.Redis) -> None:
    client.set(keys.video_deleting(SHA), "1")
    assert record(client) == -1
    assert client.exists(keys.video(SHA)) == 0


def test_facts_do_not_bring_a_deleted_video_back(client: redis.Redis) -> None:
    assert run(client, SET_FACTS, video_records.facts_args(SHA, FACTS)) == 0
    assert client.exists(keys.video(SHA)) == 0
    record(client)
    assert run(client, SET_FACTS, video_records.facts_args(SHA, FACTS)) == 1
    assert read(client).facts == FACTS
