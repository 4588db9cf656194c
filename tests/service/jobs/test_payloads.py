"""Large requests and results are in the store, and nobody who reads a job notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from benchmarks import redis_memory
from core.records import Job
from core.state import keys
from core.state.payloads import CLAIM_SECONDS, Payloads
from tests.service.sites import BASE64, Site, error, sweep
from worker.jobs.attempt import run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.connection import connect

Serve = Callable[..., AbstractContextManager[Site]]

ASYNC = {"prefer": "respond-async"}
LABELS = [f"label {number}" for number in range(300)]
ASKED = {"base64": BASE64, "labels": LABELS}
VECTORS = {"data": [{"vector": [0.123456789] * 4000}]}


@pytest.fixture
def small(serve: Serve) -> Iterator[Site]:
    """A gateway that keeps at most 1 KiB of a request or a result in Redis."""
    with serve(job_inline_bytes=1024, max_labels=1000) as site:
        yield site


@pytest.fixture
def http(small: Site) -> Iterator[httpx2.Client]:
    with small.client() as http:
        yield http


@pytest.fixture
def book(small: Site) -> JobBook:
    client = connect(small.settings.jobs_redis, decode=True)
    return JobBook(client, keys.INFERENCE, payloads=Payloads(small.gateway.store, 1024))


def files(site: Site) -> list[str]:
    return sorted(path.relative_to(site.store).as_posix() for path in (site.store / "jobs").rglob("*.json"))


def ask(http: httpx2.Client, headers: dict[str, str] = ASYNC) -> str:
    answer = http.post("/v1/classify", json=ASKED, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def test_both_sides_see_a_large_request_and_a_large_result(http: httpx2.Client, small: Site, book: JobBook) -> None:
    job_id = ask(http)
    attempt = book.start(job_id)
    seen = book.get(job_id)
    assert attempt is not None
    assert isinstance(seen, Job)
    assert [label["name"] for label in seen.request["question"]["labels"]] == LABELS
    assert book.succeed(attempt, VECTORS)
    assert http.get(f"/v1/jobs/{job_id}").json()["result"] == VECTORS
    assert (small.redis.memory_usage(keys.job(job_id)) or 0) < 2000
    assert files(small) == [f"jobs/{job_id}/request.json", f"jobs/{job_id}/result-{attempt.holder}.json"]


def test_small_ones_stay_in_the_record(http: httpx2.Client, small: Site, book: JobBook) -> None:
    job_id = http.post("/v1/embeddings", json={"texts": ["a"]}, headers=ASYNC).json()["id"]
    attempt = book.start(job_id)
    assert attempt is not None
    book.succeed(attempt, {"data": [1]})
    assert http.get(f"/v1/jobs/{job_id}").json()["result"] == {"data": [1]}
    assert files(small) == []
    assert small.redis.zcard(keys.PAYLOADS) == 0


def test_the_files_of_a_job_are_deleted_with_it(http: httpx2.Client, small: Site, book: JobBook) -> None:
    old, new = ask(http), ask(http)
    for job_id in (old, new):
        attempt = book.start(job_id)
        assert attempt is not None
        book.succeed(attempt, VECTORS)
    superseded = Payloads(small.gateway.store, 1024).write(old, "result", json.dumps(VECTORS), "of-a-dead-attempt")
    assert superseded.text in files(small)
    small.redis.zadd(keys.FINISHED, {old: 1.0})
    sweep(small)
    assert small.redis.zrange(keys.PAYLOADS, 0, -1) == [new]
    assert {name.split("/")[1] for name in files(small)} == {new}
    assert http.get(f"/v1/jobs/{new}").json()["result"] == VECTORS


def test_a_request_without_a_record_is_swept_and_one_with_a_record_stays(http: httpx2.Client, small: Site) -> None:
    """A gateway may die between the two writes."""
    waiting = ask(http)
    Payloads(small.gateway.store, 1).write("job_of_a_dead_gateway", "request", "{}")
    now = small.redis.time()[0]
    small.redis.zadd(keys.PAYLOADS, {"job_of_a_dead_gateway": now + CLAIM_SECONDS})
    sweep(small)
    assert len(files(small)) == 2  # its record may be about to be written
    small.redis.zadd(keys.PAYLOADS, {"job_of_a_dead_gateway": now - 1, waiting: now - 1})
    sweep(small)
    assert files(small) == [f"jobs/{waiting}/request.json"]
    assert small.redis.zrange(keys.PAYLOADS, 0, -1, withscores=True) == [(waiting, float("inf"))]


def test_a_repeated_request_gets_the_first_job(http: httpx2.Client, small: Site, book: JobBook) -> None:
    headers = ASYNC | {"idempotency-key": "k"}
    assert ask(http, headers) == ask(http, headers)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_a_payload_that_cannot_be_read_is_an_error_in_words(
    http: httpx2.Client, small: Site, book: JobBook, damage: Callable[[Any], object]
) -> None:
    job_id = ask(http)
    attempt = book.start(job_id)
    assert attempt is not None
    book.succeed(attempt, VECTORS)
    damage(small.store / "jobs" / job_id / f"result-{attempt.holder}.json")
    found = error(http.get(f"/v1/jobs/{job_id}"), 503, "storage_unavailable")
    assert f"The result of {job_id} cannot be read from the store" in found["message"]
    assert "same store" in found["hint"]
    assert http.get("/v1/jobs").json()["data"][0]["state"] == "succeeded"


def test_a_request_has_a_limit(serve: Serve) -> None:
    with serve(max_job_request_bytes=1024, max_labels=1000) as site, site.client() as http:
        found = error(http.post("/v1/classify", json=ASKED, headers=ASYNC), 413, "request_too_large")
        assert found["details"] == {"limit": 1024}
        assert site.redis.zcard(keys.JOBS) == 0


def test_ten_thousand_answers_with_a_thousand_labels_fit_into_redis(redis_url: str, tmp_path: Path) -> None:
    """Fifty of them, on the way that `benchmarks.redis_memory` measures ten thousand."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        _, request, result = redis_memory.cases()[2]
        assert redis_memory.Jobs(client, tmp_path).bytes_each(request, result) * 10_000 < 100e6


@pytest.mark.parametrize("damage", [{"request": "{"}, {"kind": "of a newer version"}], ids=["damaged", "newer"])
def test_a_record_that_cannot_be_read_fails_its_job_once_in_words(
    http: httpx2.Client, small: Site, book: JobBook, damage: dict[str, str]
) -> None:
    job_id = http.post("/v1/embeddings", json={"texts": ["a"]}, headers=ASYNC).json()["id"]
    for field, text in damage.items():
        small.redis.hset(keys.job(job_id), field, text)
    assert run_job({}, book, RunningJobs(), job_id) is None
    assert small.redis.hget(keys.job(job_id), "state") == "failed"
    assert "cannot read the job's record" in str(small.redis.hget(keys.job(job_id), "error"))
    assert run_job({}, book, RunningJobs(), job_id) is None
    assert small.redis.hget(keys.job(job_id), "attempts") == "1"
    assert http.get("/v1/jobs").status_code == 200
