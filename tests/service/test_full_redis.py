"""A full Redis: new work is refused in words, accepted work goes on, and room is all that it takes to recover."""

from __future__ import annotations

from typing import Any, cast

import httpx2
import pytest
import redis

from core.errors import UndecodableVideo
from core.records import JobState, WorkerInfo
from core.state import keys
from core.state.lifecycle import Standing
from core.state.payloads import Payloads
from service import sweeper
from tests.memory import full, make_room
from tests.service.doubles import answering
from tests.service.routes.test_operations import samples
from tests.service.sites import FILE, Site, error
from tests.waiting import wait_until
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat

ASYNC = {"prefer": "respond-async"}
VECTORS = {"data": [{"vector": [0.123456789] * 4000}]}


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url, decode=True)


@pytest.fixture
def book(client: redis.Redis, site: Site) -> JobBook:
    return JobBook(client, keys.INFERENCE, payloads=Payloads(site.gateway.store, site.settings.job_inline_bytes))


def ask(http: httpx2.Client, **headers: str) -> httpx2.Response:
    return http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=ASYNC | headers)


def test_new_work_is_refused_in_words_until_there_is_room(
    http: httpx2.Client, site: Site, redis_url: str, client: redis.Redis
) -> None:
    accepted = ask(http).json()["id"]
    with full(client):
        refusals = [
            ask(http),
            http.post("/v1/embeddings", json={"texts": ["a"]}, headers=ASYNC),
            http.put("/v1/label-sets/mine", json={"labels": ["a"]}),
        ]
        for refusal in refusals:
            found = error(refusal, 503, "storage_unavailable")
            assert found["message"].startswith("Redis is full")
            assert "maxmemory" in found["hint"]
            assert int(refusal.headers["retry-after"]) > 0
        assert site.redis.zrange(keys.JOBS, 0, -1) == [accepted]
        assert http.get(f"/v1/jobs/{accepted}").json()["state"] == "queued"
        make_room(client)
        with answering(redis_url):
            assert ask(http, prefer="wait=10").status_code == 200
            assert http.get(f"/v1/jobs/{accepted}").json()["state"] == "succeeded"


def test_operators_see_it(http: httpx2.Client, site: Site, client: redis.Redis) -> None:
    heartbeat = Heartbeat(client, JobBook(client, keys.INFERENCE), RunningJobs())
    with full(client):
        heartbeat.update(state="ready", detail="announced while Redis is full")
        ready = http.get("/readyz")
        (reason,) = ready.json()["reasons"]
        assert ready.status_code == 503
        assert reason.startswith("Redis is full: ")
        assert reason.endswith("and nothing can be evicted")
        assert ready.json()["checks"]["worker"]["ok"]
        seen = samples(http)
        assert seen["vireo_redis_full", ()] == 1
        assert seen["vireo_redis_used_bytes", ()] >= seen["vireo_redis_limit_bytes", ()] > 0
        assert seen["vireo_redis_evictable_keys", ()] == 0
        (worker_id,) = cast(list[str], client.zrange(keys.WORKERS, 0, -1))
        info = WorkerInfo.model_validate_json(str(client.get(keys.worker(worker_id))))
        assert info.detail == "announced while Redis is full"
    assert http.get("/readyz").status_code == 200
    assert samples(http)["vireo_redis_full", ()] == 0


def test_accepted_work_goes_on(http: httpx2.Client, client: redis.Redis, book: JobBook) -> None:
    running, queued, failing, stopped, given_back = (ask(http).json()["id"] for _ in range(5))
    attempt = book.start(running)
    assert attempt is not None

    def state(job_id: str) -> Any:
        return http.get(f"/v1/jobs/{job_id}").json()["state"]

    with full(client):
        assert book.renew_leases([attempt]) == {attempt: Standing.HELD}
        assert book.report(attempt, "progress", {"step": 1}, {"phase": "training", "step": 1}) is Standing.HELD
        assert book.claim_version(attempt, "gym", 4) == 5
        assert book.succeed(attempt, VECTORS)
        started = book.start(queued)
        assert started is not None
        assert book.succeed(started, {"small": True})
        failed = book.start(failing)
        assert failed is not None
        assert book.fail(failed, UndecodableVideo("no video"))
        released = book.start(given_back)
        assert released is not None
        assert book.release(released, counts_as_failure=False)
        assert http.post(f"/v1/jobs/{stopped}/cancel").status_code == 202
        states = [state(job_id) for job_id in (running, queued, failing, stopped, given_back)]
        assert states == ["succeeded", "succeeded", "failed", "cancelled", "queued"]
        assert http.get(f"/v1/jobs/{running}").json()["result"] == VECTORS
        taken = book.start(given_back)
        assert taken is not None
    assert book.succeed(taken, {})


def test_an_expired_lease_is_taken_back(http: httpx2.Client, client: redis.Redis, book: JobBook) -> None:
    job_id = ask(http).json()["id"]
    assert book.start(job_id) is not None
    client.zadd(keys.running(keys.INFERENCE), {job_id: 1.0})
    with full(client):
        assert book.expire_leases() == {job_id: JobState.QUEUED}


def test_a_message_that_is_refused_fails_its_job_in_words(
    http: httpx2.Client, site: Site, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is full from the moment after the job was created."""
    create = site.gateway.jobs.create
    filled = full(client)

    async def create_and_fill(*args: Any, **options: Any) -> Any:
        created = await create(*args, **options)
        filled.__enter__()
        return created

    monkeypatch.setattr(
        type(site.gateway.jobs), "create", lambda _, *args, **options: create_and_fill(*args, **options)
    )
    try:
        refused = ask(http)
    finally:
        filled.__exit__(None, None, None)
    assert error(refused, 503, "storage_unavailable")["message"].startswith("Redis is full")
    (job,) = http.get("/v1/jobs").json()["data"]
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_unavailable")


def test_a_refused_job_starts_a_sweep(
    http: httpx2.Client, site: Site, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It deletes the finished jobs that are above the limits, without waiting for the next interval."""
    monkeypatch.setattr(sweeper, "PAUSE", 0.0)
    site.redis.hset(keys.job("job_old"), mapping={"id": "job_old", "kind": "classification", "state": "succeeded"})
    site.redis.zadd(keys.FINISHED, {"job_old": 1.0})
    with full(client):
        assert ask(http).status_code == 503
        wait_until(lambda: not site.redis.exists(keys.job("job_old")), 20)
