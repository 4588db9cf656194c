from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.errors import InvalidDataset, VireoError
from core.state import keys
from tests.service.doubles import answering
from tests.service.sites import FILE, Site, error
from tests.waiting import wait_until

ASYNC = {"prefer": "respond-async"}
Serve = Callable[..., AbstractContextManager[Site]]


def ask(http: httpx2.Client) -> str:
    answer = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def state(http: httpx2.Client, job_id: str) -> str:
    found: str = http.get(f"/v1/jobs/{job_id}").json()["state"]
    return found


def test_a_queued_job_shows_the_number_of_jobs_before_it(http: httpx2.Client, site: Site) -> None:
    first, second = ask(http), ask(http)
    assert http.get(f"/v1/jobs/{first}").json()["progress"] == {"jobs_before": 0}
    assert http.get(f"/v1/jobs/{second}").json()["progress"] == {"jobs_before": 1}


def test_lists_are_paged_and_filtered(http: httpx2.Client, redis_url: str) -> None:
    ids = [ask(http) for _ in range(5)]
    http.post("/v1/embeddings", json={"texts": ["a"]}, headers=ASYNC)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "kind": "classification"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/jobs", params=params).json()
        assert len(page["data"]) <= 2
        seen += [job["id"] for job in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    with answering(redis_url):
        wait_until(lambda: http.get(f"/v1/jobs/{ids[2]}").json()["state"] == "succeeded")
    done = http.get("/v1/jobs", params={"state": "succeeded", "kind": "classify"}).json()["data"]  # the earlier name
    assert ids[2] in [job["id"] for job in done]


def test_a_list_has_summaries_and_the_job_has_everything(http: httpx2.Client, site: Site, redis_url: str) -> None:
    request = {"texts": ["a"] * 3, "model": "lite"}
    vectors = {"data": [{"vector": [0.123456789] * 20_000}]}
    report = {"report": [{"code": "undecodable", "paths": ["a/clip.mp4"] * 20}] * 500}
    failure = InvalidDataset("Nothing can be trained on this dataset.", hint="See the report.", **report)
    with answering(redis_url, lambda _: None) as worker:
        ids = [http.post("/v1/embeddings", json=request, headers=ASYNC).json()["id"] for _ in range(3)]
        wait_until(lambda: all(state(http, job_id) == "running" for job_id in ids))
        outcomes: list[dict[str, Any] | VireoError] = [vectors, vectors, failure]
        assert all(map(worker.finish, ids, outcomes))
    listed = http.get("/v1/jobs")
    assert len(listed.content) < 3000
    newest, *others = listed.json()["data"]
    assert newest["error"] == failure.to_dict(newest["request_id"]) | {"details": {}}
    assert all((job["state"], job["subject"]) == ("succeeded", "lite") for job in others)
    assert not any(name in job for job in (newest, *others) for name in ("request", "result"))
    assert http.get(f"/v1/jobs/{ids[0]}").json()["result"] == vectors
    assert http.get(f"/v1/jobs/{ids[2]}").json()["error"]["details"] == report


@pytest.mark.parametrize(
    "params", [{"state": "asleep"}, {"kind": "x"}, {"limit": "0"}, {"cursor": "x"}, {"cursor": "nan:"}]
)
def test_bad_list_parameters(http: httpx2.Client, site: Site, params: dict[str, str]) -> None:
    found = error(http.get("/v1/jobs", params=params), 422, "invalid_request")
    assert found["details"]["field"] == next(iter(params))


def test_an_unknown_job(http: httpx2.Client, site: Site) -> None:
    job_id = ask(http)
    found = error(http.get(f"/v1/jobs/{job_id[:-1]}x"), 404, "unknown_job")
    assert found["details"]["nearest"] == [job_id]
    error(http.post("/v1/jobs/job_1/cancel"), 404, "unknown_job")


def test_cancelling_a_queued_job_ends_it(http: httpx2.Client, site: Site, redis_url: str) -> None:
    job_id = ask(http)
    cancelled = http.post(f"/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert cancelled.json()["error"]["code"] == "cancelled"
    assert site.redis.zcard(keys.waiting(keys.INFERENCE)) == 0
    again = http.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()) == (202, cancelled.json())
    with answering(redis_url) as worker:  # its message is still in the queue and must not start it
        wait_until(lambda: worker.seen == [job_id])
    assert state(http, job_id) == "cancelled"


def test_cancelling_a_running_job_tells_its_worker(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None) as worker:
        job_id = ask(http)
        wait_until(lambda: state(http, job_id) == "running")
        for _ in range(2):
            assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
        wait_until(lambda: worker.cancelled[:1] == [job_id])
        assert site.redis.hget(keys.job(job_id), "cancel_requested") == "1"
        assert state(http, job_id) == "running"  # it ends when its worker ends it


def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url) as worker:
        job_id = ask(http)
        wait_until(lambda: worker.seen and state(http, job_id) == "succeeded")
    found = error(http.post(f"/v1/jobs/{job_id}/cancel"), 409, "conflict")
    assert found["details"] == {"state": "succeeded"}


def test_the_queue_has_a_limit(serve: Serve, redis_url: str) -> None:
    with serve(queue_limit=2) as site, site.client() as http:
        ask(http)
        ask(http)
        full = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=ASYNC)
        assert error(full, 429, "queue_full")["details"] == {"limit": 2}
        with answering(redis_url) as worker:
            wait_until(lambda: len(worker.seen) == 2)
            assert http.post("/v1/classify", data={"labels": "a"}, files=FILE).status_code == 200
