from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from s3fs import S3FileSystem

from core.errors import ModelUnavailable
from core.state import keys
from core.storage.identity import store_id
from service.routes.operations import _without_password
from tests.s3 import S3
from tests.service.doubles import LITE, AnsweringWorker
from tests.service.sites import FILE, Site, error

Serve = Callable[..., AbstractContextManager[Site]]


def samples(http: httpx2.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = http.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_live_and_ready(http: httpx2.Client, worker: AnsweringWorker) -> None:
    assert http.get("/livez").json() == {"status": "alive"}
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["reasons"]) == (200, True, [])


def test_not_ready_says_why(http: httpx2.Client, site: Site, worker: AnsweringWorker) -> None:
    worker.announce("starting", "loading clip-b16 (40 %)")
    starting = http.get("/readyz")
    assert starting.status_code == 503
    assert starting.json()["reasons"] == ["the inference worker is starting: loading clip-b16 (40 %)"]
    worker.announce("failed", "x", ModelUnavailable("The weights cannot be had."))
    assert http.get("/readyz").json()["reasons"] == ["The weights cannot be had"]
    site.redis.flushall()
    assert http.get("/readyz").json()["reasons"] == ["No inference worker is running"]


@pytest.mark.parametrize(
    "announced",
    ['{"id": "newer", "state": "resting"}', "not JSON"],
    ids=["a state of a newer version", "damaged"],
)
def test_a_worker_that_cannot_be_read_does_not_hide_the_others(
    http: httpx2.Client, site: Site, worker: AnsweringWorker, announced: str
) -> None:
    info = json.loads(str(site.redis.get(keys.worker("w1"))))
    site.redis.set(keys.worker("newer"), json.dumps(info | {"id": "newer", "of_a_newer_version": [1]}))
    site.redis.set(keys.worker("unreadable"), announced)
    site.redis.zadd(keys.WORKERS, {"newer": time.time() + 60, "unreadable": time.time() + 60})
    assert http.get("/readyz").status_code == 200
    assert {w["id"] for w in http.get("/v1/info").json()["workers"]} == {"w1", "newer"}


def test_a_worker_with_another_store_makes_the_service_not_ready(
    http: httpx2.Client, site: Site, worker: AnsweringWorker
) -> None:
    own = store_id(site.gateway.store)
    worker.announce(store=own)
    assert http.get("/readyz").json()["ready"] is True
    worker.announce(store="store_of_another_host")
    answer = http.get("/readyz")
    (reason,) = answer.json()["reasons"]
    assert answer.status_code == 503
    assert "w1 (inference) uses store_of_another_host" in reason
    assert f"the gateway uses {own}" in reason
    assert "VIREO_STORE" in reason


def test_a_store_that_cannot_be_written(serve: Serve) -> None:
    with serve() as site, site.client() as http:
        (site.store / "partial").rmdir()
        answer = http.get("/readyz").json()
        assert not answer["checks"]["store"]["ok"]
        assert re.match("the store does not work: A new file could not be written", answer["reasons"][0])


def test_readiness_writes_reads_and_deletes_in_the_store_itself(serve: Serve, s3: S3) -> None:
    with serve(store=s3.url("ready")) as site, site.client() as http:
        s3.requests.clear()
        assert http.get("/readyz").json()["checks"]["store"]["ok"]
        assert [request.split("/")[:4] for request in s3.requests if "/checks/" in request] == [
            [f"{method} ", "vireo", "ready", "checks"] for method in ("PUT", "GET", "DELETE")
        ]


@pytest.mark.parametrize("fault", ["no bucket", "no credentials", "nobody listens"])
def test_an_object_store_that_does_not_work_is_said_in_words(
    serve: Serve, s3: S3, monkeypatch: pytest.MonkeyPatch, fault: str, tmp_path: Path
) -> None:
    """Each is an exception of another package, and none is an OSError."""
    if fault == "no credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
    if fault == "nobody listens":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()  # it would go on with the session of another test
    with serve(store="s3://absent/vireo" if fault == "no bucket" else s3.url("ready")) as site, site.client() as http:
        assert "the store does not work" in http.get("/readyz").json()["checks"]["store"]["detail"]
        found = error(http.post("/v1/videos", files=FILE), 503, "storage_unavailable")
        assert "could not be written to the store" in found["message"]
    S3FileSystem.clear_instance_cache()


def test_models_show_the_default_and_the_reason(http: httpx2.Client, worker: AnsweringWorker) -> None:
    page = http.get("/v1/models").json()
    assert [m["name"] for m in page["data"]] == ["lite", "clip-b16", "clip-l14"]
    default = page["data"][0]
    assert (default["default"], default["reason"], default["digest"]) == (True, LITE.reason, LITE.digest)
    assert not any(m["default"] for m in page["data"][1:])


def test_info_shows_what_the_server_runs(http: httpx2.Client, site: Site, worker: AnsweringWorker) -> None:
    info = http.get("/v1/info").json()
    assert all(queue["age_s"] == queue["age_seconds"] for queue in info["queues"].values())
    assert info["version"] == metadata.version("vireo-server")
    assert info["model"]["name"] == "lite"
    assert (info["device"], info["precision"]) == ("cpu", "fp32")
    assert info["limits"]["max_upload_bytes"] == site.settings.max_upload_bytes
    assert [w["id"] for w in info["workers"]] == ["w1"]


def test_passwords_are_not_shown() -> None:
    assert _without_password("redis://user:secret@host:6379/0?password=secret") == "redis://host:6379/0"
    assert _without_password("unix://:secret@/run/redis.sock?db=1") == "unix:///run/redis.sock"
    assert _without_password("s3://bucket/a") == "s3://bucket/a"


def test_metrics_count_by_route_and_show_the_queue(http: httpx2.Client, site: Site, worker: AnsweringWorker) -> None:
    before = samples(http)
    http.get("/v1/jobs/job_1")
    http.get("/nowhere/at/all")
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    after = samples(http)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0.0)

    assert grown("vireo_http_requests_total", route="/v1/jobs/{id}", method="GET", status="404") == 1
    assert grown("vireo_http_requests_total", route="unmatched", method="GET", status="404") == 1
    assert grown("vireo_http_requests_total", route="/v1/classify", method="POST", status="200") == 1
    assert grown("vireo_http_request_seconds_count", route="/v1/classify", method="POST") == 1
    assert grown("vireo_upload_bytes_total") == len(FILE["video"][1])
    assert after["vireo_redis_up", ()] == 1
    assert after["vireo_workers", (("queue", "inference"), ("state", "ready"))] == 1
    assert after["vireo_queue_depth", (("queue", "inference"),)] == 0
    assert after["vireo_queue_age_seconds", (("queue", "inference"),)] == 0
    assert after["vireo_jobs", (("state", "finished"),)] == 1
    assert not any("job_1" in str(key) for key in after)


def test_queue_depth_and_age(http: httpx2.Client, site: Site) -> None:
    for _ in range(2):
        http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "respond-async"})
    found = samples(http)
    assert found["vireo_queue_depth", (("queue", "inference"),)] == 2
    assert 0 < found["vireo_queue_age_seconds", (("queue", "inference"),)] < 30


def test_unknown_routes_and_methods(http: httpx2.Client, site: Site) -> None:
    found = error(http.get("/v1/clasify"), 404, "not_found")
    assert "/v1/classify" in found["details"]["nearest"]
    wrong = http.get("/v1/classify")
    assert "POST" in str(error(wrong, 405, "method_not_allowed")["hint"])
    assert wrong.headers["allow"] == "POST"
