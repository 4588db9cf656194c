"""Finished jobs stay for a time, up to a number, and up to a share of Redis. Unfinished jobs always stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import httpx2
import pytest

from core.records import Job, JobKind, JobState
from core.state import keys, lifecycle
from tests.service.sites import FILE, Site, sweep

HOUR = 3600.0


@pytest.fixture
def finish(site: Site) -> Callable[..., list[str]]:
    """Writes finished jobs, the oldest first: one per second, with a result of `size` bytes."""

    def write(count: int, *, age: float = HOUR, size: int = 10, kind: JobKind = "classification") -> list[str]:
        ended = time.time() - age
        jobs = [
            Job(
                id=f"job_{kind}_{number}",
                kind=kind,
                state=JobState.SUCCEEDED,
                result={"text": "x" * size},
                created_at=ended + number,
            )
            for number in range(count)
        ]
        with site.redis.pipeline() as pipe:
            for job in jobs:
                pipe.hset(keys.job(job.id), mapping=cast(Any, lifecycle.job_to_fields(job)))
                for name in (keys.JOBS, keys.FINISHED):
                    pipe.zadd(name, {job.id: job.created_at})
            pipe.execute()
        return [job.id for job in jobs]

    return write


def left(site: Site) -> list[str]:
    ids = cast(list[str], site.redis.zrange(keys.FINISHED, 0, -1))
    assert ids == site.redis.zrange(keys.JOBS, 0, -1)
    assert all(site.redis.exists(keys.job(job_id)) for job_id in ids)
    return ids


def test_answers_and_other_jobs_have_times_of_their_own(site: Site, finish: Callable[..., list[str]]) -> None:
    finish(600, age=2 * HOUR)
    runs = finish(600, age=2 * HOUR, kind="training")
    fresh = finish(3, age=0.5 * HOUR, kind="embedding")
    sweep(site, answer_ttl=HOUR, job_ttl=3 * HOUR)
    assert left(site) == [*runs, *fresh]
    sweep(site, answer_ttl=HOUR, job_ttl=HOUR)
    assert left(site) == fresh


def test_the_oldest_goes_first_where_there_are_too_many(
    site: Site, http: httpx2.Client, finish: Callable[..., list[str]]
) -> None:
    waiting = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "respond-async"})
    ids = finish(1203)
    sweep(site, max_finished_jobs=601)
    site.redis.zrem(keys.JOBS, waiting.json()["id"])
    assert left(site) == ids[602:]
    assert site.redis.hget(keys.job(waiting.json()["id"]), "state") == "queued"


def test_the_oldest_goes_first_where_they_need_too_much_memory(site: Site, finish: Callable[..., list[str]]) -> None:
    ids = finish(40, size=100_000)
    sweep(site, max_finished_bytes=1 << 20)
    kept = left(site)
    assert kept == ids[-len(kept) :]
    assert 8 <= len(kept) <= 10


def test_they_never_need_more_than_a_quarter_of_redis(site: Site, finish: Callable[..., list[str]]) -> None:
    ids = finish(40, size=100_000)
    limit = str(site.redis.config_get("maxmemory")["maxmemory"])
    site.redis.config_set("maxmemory", 8 << 20)
    try:
        sweep(site, max_finished_bytes=1 << 30)
    finally:
        site.redis.config_set("maxmemory", limit)
    kept = left(site)
    assert kept == ids[-len(kept) :]
    assert 15 <= len(kept) <= 21


def test_nothing_is_deleted_without_need(site: Site, finish: Callable[..., list[str]]) -> None:
    ids = finish(1000)
    sweep(site)
    assert left(site) == ids
