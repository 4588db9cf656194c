"""All kinds of jobs are submitted in one way: what the answer holds, how long it waits, and what a disconnect does."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, get_args

import httpx2
import pytest

from core.errors import Cancelled, TrainingFailed, UndecodableVideo
from core.records import Job, JobKind, Timings
from core.state import keys
from core.state.queues import QUEUES
from service.http.preferences import Preferences
from service.jobs.submit import POLICIES
from tests.service.doubles import AnsweringWorker, answering, classification
from tests.service.library import DATASET, Library
from tests.service.sites import BASE64, FILE, VIDEO, Site, error
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]


def test_every_kind_of_job_has_a_policy() -> None:
    kinds = set(get_args(JobKind))
    assert set(POLICIES) == kinds
    questions = {kind for kind in kinds if QUEUES[kind] == keys.INFERENCE}
    answered = (questions - {"indexing", "batch"}) | {"comparison"}  # its models are judged by a training worker
    assert {kind for kind, policy in POLICIES.items() if policy.answers_with_result} == answered


def state(http: httpx2.Client, job_id: str) -> str:
    found: str = http.get(f"/v1/jobs/{job_id}").json()["state"]
    return found


def test_prefer_wait_answers_200_with_a_background_job_that_has_ended(
    http: httpx2.Client, library: Library, redis_url: str
) -> None:
    library.dataset()
    body = {"name": "my-gym", "dataset": DATASET, "base": "lite"}
    with answering(redis_url, lambda _: {"model": "my-gym:1"}, keys.TRAINING):
        ended = http.post("/v1/training-jobs", json=body, headers={"prefer": "wait=20"})
    assert ended.status_code == 200
    assert (ended.json()["kind"], ended.json()["result"]) == ("training", {"model": "my-gym:1"})
    queued = http.post("/v1/training-jobs", json=body)
    assert (queued.status_code, queued.json()["state"]) == (202, "queued")


def test_a_failed_job_answers_with_its_error(http: httpx2.Client, site: Site, redis_url: str) -> None:
    failure = UndecodableVideo("There is no video stream.", hint="Only sound.", reason="audio_only", stream=0)
    with answering(redis_url, lambda _: failure):
        found = error(http.post("/v1/classify", data={"labels": "a"}, files=FILE), 422, "undecodable_video")
    assert (found["message"], found["hint"]) == (failure.message, failure.hint)
    assert found["details"] == {"reason": "audio_only", "stream": 0}


def test_a_failed_job_answers_alike_on_every_route_that_waits(
    http: httpx2.Client, library: Library, redis_url: str
) -> None:
    library.dataset()
    library.version("gym", 1)
    requests: list[tuple[str, str, dict[str, Any]]] = [
        (keys.INFERENCE, "/v1/classify", {"data": {"labels": "a"}, "files": FILE}),
        (keys.INFERENCE, "/v1/embeddings", {"json": {"texts": ["a"]}}),
        (keys.TRAINING, "/v1/training-jobs", {"json": {"name": "my-gym", "dataset": DATASET, "base": "lite"}}),
        (keys.TRAINING, "/v1/evaluations", {"json": {"model": "gym", "dataset": DATASET}}),
        (keys.DATASETS, "/v1/datasets", {"content": b"zip"}),
        (keys.DATASETS, "/v1/models", {"files": {"file": ("k.pt", b"pt")}, "data": {"name": "k400"}}),
    ]
    failure = TrainingFailed("It failed.", hint="Try less.", step=3)
    for queue, path, request in requests:
        with answering(redis_url, lambda _: failure, queue):
            answer = http.post(path, headers={"prefer": "wait=20"}, **request)
        found = error(answer, 500, "training_failed")
        assert (found["message"], found["hint"], found["details"]) == ("It failed.", "Try less.", {"step": 3}), path
        job = http.get(answer.headers["location"]).json()
        assert (job["state"], job["error"]["code"]) == ("failed", "training_failed"), path


def test_respond_async_answers_with_the_job(http: httpx2.Client, worker: AnsweringWorker) -> None:
    answer = http.post(
        "/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "respond-async, handling=strict"}
    )
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == answer.json()["links"]["self"]
    wait_until(lambda: http.get(answer.headers["location"]).json()["state"] == "succeeded")
    job = http.get(answer.headers["location"]).json()
    assert job["result"]["predictions"][0]["label"] == "a"
    assert job["error"] is None


def test_prefer_wait_shortens_the_deadline(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None):
        answer = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "wait=0"})
    assert answer.status_code == 202
    assert "retry-after" in answer.headers


def test_repeats_with_an_idempotency_key_are_one_job(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    headers = {"idempotency-key": "k1"}
    first = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=headers)
    second = http.post("/v1/classify", json={"labels": ["a"], "base64": BASE64}, headers=headers)
    assert first.json() == second.json()
    assert worker.seen == [first.json()["id"]]
    other = {"video": ("c.mp4", VIDEO + b"!")}
    error(http.post("/v1/classify", data={"labels": "a"}, files=other, headers=headers), 409, "conflict")
    error(http.post("/v1/classify", data={"labels": "b"}, files=FILE, headers=headers), 409, "conflict")
    error(http.post("/v1/embeddings", json={"texts": ["a"]}, headers=headers), 409, "conflict")
    error(http.post("/v1/classify", headers={"idempotency-key": "x" * 256}), 422, "invalid_request")


def test_an_answer_has_its_stages_in_the_header_server_timing(http: httpx2.Client, site: Site, redis_url: str) -> None:
    spent = Timings(queue=1.2, decode=81.0, encode=190.35, score=123456.78, total=123729.33)

    def timed(job: Job) -> dict[str, Any]:
        return classification(job) | {"timings_ms": spent.model_dump()}

    with answering(redis_url, timed):
        answer = http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    metrics = [metric.split(";dur=") for metric in answer.headers["server-timing"].split(", ")]
    assert {name: float(duration) for name, duration in metrics} == answer.json()["timings_ms"]
    documented = http.get("/openapi.json").json()["paths"]["/v1/classify"]["post"]["responses"]["200"]["headers"][
        "Server-Timing"
    ]
    assert re.fullmatch(documented["schema"]["pattern"], answer.headers["server-timing"])


def test_an_answer_without_stages_has_no_header_server_timing(http: httpx2.Client, worker: AnsweringWorker) -> None:
    answer = http.post("/v1/embeddings", json={"texts": ["a"]})
    assert answer.status_code == 200
    assert "server-timing" not in answer.headers


def test_concurrent_repeats_wait_for_the_same_job(site: Site, redis_url: str) -> None:
    let_go = threading.Event()
    answers: list[httpx2.Response] = []

    def ask() -> None:
        with site.client() as client:
            headers = {"idempotency-key": "k2"}
            answers.append(client.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=headers))

    with answering(redis_url) as worker:
        answer = worker.answer
        worker.answer = lambda job: answer(job) if let_go.wait(5) else None
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: site.gateway.waiter.waiting == 1 and worker.seen)
        let_go.set()
        for thread in threads:
            thread.join(10)
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["id"] for a in answers}) == 1


def test_the_job_continues_after_the_deadline(serve: Serve, redis_url: str) -> None:
    with serve(sync_deadline=0.1) as site, answering(redis_url, lambda _: None) as worker, site.client() as http:
        late = http.post("/v1/classify", data={"labels": "a"}, files=FILE)
        assert late.status_code == 202
        assert int(late.headers["retry-after"]) > 0
        assert "preference-applied" not in late.headers
        job = late.json()
        assert job["state"] in ("queued", "running")
        wait_until(lambda: state(http, job["id"]) == "running")
        worker.finish(job["id"], classification(worker.job(job["id"])))
        done = http.get(late.headers["location"]).json()
        assert (done["state"], done["result"]["id"], done["attempts"]) == ("succeeded", job["id"], 1)
        assert done["created_at"] <= done["started_at"] <= done["finished_at"]


def disconnect_while_waiting(site: Site, headers: str = "") -> None:
    """Send a classify request and close the connection once the job runs."""
    body = b'{"labels": ["a"], "base64": "AAAA"}'
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: site.redis.zcard(keys.running(keys.INFERENCE)) == 1)


def test_a_client_that_disconnects_cancels_its_running_job(site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None) as worker:
        disconnect_while_waiting(site)
        wait_until(lambda: worker.cancelled == worker.seen)
        assert len(worker.seen) == 1


def test_a_client_that_disconnects_cancels_its_queued_job(http: httpx2.Client, site: Site, redis_url: str) -> None:
    AnsweringWorker(redis_url).announce()  # it is live, but takes no jobs
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/v1/classify", data={"labels": "a"}, files=FILE, timeout=0.3)
    wait_until(lambda: http.get("/v1/jobs").json()["data"][0]["state"] == "cancelled")


def test_a_job_with_an_idempotency_key_survives_a_disconnect(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None) as worker:
        disconnect_while_waiting(site, "idempotency-key: k\r\n")
        assert not worker.cancelled
        worker.finish(worker.seen[0], classification(worker.job(worker.seen[0])))
        again = http.post("/v1/classify", json={"labels": ["a"], "base64": "AAAA"}, headers={"idempotency-key": "k"})
        assert again.json()["id"] == worker.seen[0]
        assert worker.cancelled == []


def test_a_background_job_survives_a_disconnect(
    http: httpx2.Client, site: Site, library: Library, redis_url: str
) -> None:
    library.dataset()
    body = {"name": "my-gym", "dataset": DATASET, "base": "lite"}
    with answering(redis_url, lambda _: None, keys.TRAINING) as worker:
        with pytest.raises(httpx2.ReadTimeout):
            http.post("/v1/training-jobs", json=body, headers={"prefer": "wait=20"}, timeout=0.5)
        wait_until(lambda: bool(worker.seen) and site.gateway.waiter.waiting == 0)
        assert state(http, worker.seen[0]) == "running"
        assert site.redis.hget(keys.job(worker.seen[0]), "cancel_requested") is None


def test_a_waiting_request_for_a_cancelled_job_is_answered_409(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: Cancelled("The job was cancelled.")):
        error(http.post("/v1/classify", data={"labels": "a"}, files=FILE), 409, "cancelled")


def test_the_request_id_reaches_the_job_and_its_error(http: httpx2.Client, site: Site, redis_url: str) -> None:
    failure = UndecodableVideo("There is no video stream.", reason="audio_only")
    with answering(redis_url, lambda _: failure):
        headers = {"prefer": "respond-async", "x-request-id": "trace-7"}
        sent = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=headers).json()
        assert sent["request_id"] == "trace-7"
        wait_until(lambda: state(http, sent["id"]) == "failed")
    job = http.get(f"/v1/jobs/{sent['id']}", headers={"x-request-id": "another"}).json()
    assert (job["request_id"], job["error"]["request_id"]) == ("trace-7", "trace-7")
    assert http.get("/v1/jobs").json()["data"][0]["request_id"] == "trace-7"
    site.redis.hdel(keys.job(sent["id"]), "request_id")  # a job of an earlier version
    assert http.get(f"/v1/jobs/{sent['id']}").json()["request_id"] is None


def test_a_repeated_request_sends_no_second_message(http: httpx2.Client, site: Site) -> None:
    headers = {"prefer": "respond-async", "idempotency-key": "k"}
    ids = {http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=headers).json()["id"] for _ in range(3)}
    assert len(ids) == 1
    assert site.redis.llen(keys.INFERENCE) == 1


def test_a_client_waits_no_longer_than_the_server_allows(serve: Serve) -> None:
    with serve(sync_deadline=0.2) as site, site.client() as http:
        answer = http.post(
            "/v1/training-jobs", json={"name": "x", "dataset": "ds_" + "0" * 24}, headers={"prefer": "wait=1000"}
        )
        assert answer.status_code == 404
        submitter = site.gateway.submitter
        waits = [submitter._patience(POLICIES["training"], Preferences(wait=wait)) for wait in (0.1, 1000.0, None)]
        assert waits == [0.1, 0.2, 0.0]
        assert submitter._patience(POLICIES["classification"], Preferences()) == 0.2
        assert submitter._patience(POLICIES["classification"], Preferences(respond_async=True, wait=5)) == 0.0
