from __future__ import annotations

import io
import json
import logging
import time

import httpx2
import pytest
from prometheus_client import REGISTRY

from core.logs.lines import JsonLines
from service.catalog.label_sets import LabelSets
from service.http import middleware
from tests.service.doubles import AnsweringWorker
from tests.service.sites import Site, error
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2:3", True), ("", False), ("a b", False), ("x" * 129, False), ('"<script>', False)]
)
def test_request_ids_are_kept_if_they_are_safe_to_log(http: httpx2.Client, site: Site, sent: str, kept: bool) -> None:
    answer = http.get("/livez", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) == kept
    assert answer.headers["x-request-id"]


def test_a_bug_is_a_500_with_the_request_id_and_no_trace(
    http: httpx2.Client, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(LabelSets, "get", broken)
    answer = http.get("/v1/label-sets/x", headers={"x-request-id": "mine"})
    assert error(answer, 500, "internal_error")["request_id"] == "mine"
    assert "secret" not in answer.text
    assert "the secret inside" in caplog.text
    assert http.get("/livez").status_code == 200


def test_each_request_is_one_log_line_without_its_query(
    http: httpx2.Client, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        http.get("/v1/jobs", params={"cursor": "1:secret"})
        while not (lines := [r for r in caplog.records if r.name.startswith(("vireo", "service"))]):
            time.sleep(0.01)  # the line is written after the answer
    (record,) = lines
    assert record.__dict__["fields"] | {"ms": 0} == {"method": "GET", "path": "/v1/jobs", "status": 200, "ms": 0}
    assert "secret" not in JsonLines().format(record)


def test_the_log_line_of_a_request_has_its_id_and_its_job(
    http: httpx2.Client, worker: AnsweringWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("vireo.access", logging.INFO)
    logger.addHandler(handler)
    monkeypatch.setattr(middleware, "log", logger)
    headers = {"x-request-id": "trace-9"}
    asked = http.post("/v1/embeddings", json={"texts": ["a"]}, headers=headers).json()
    http.get(f"/v1/jobs/{asked['id']}", headers=headers)
    http.get("/v1/info", headers=headers)
    wait_until(lambda: output.getvalue().count("\n") == 3)  # a line follows its answer
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(line["request_id"], line.get("job_id")) for line in lines] == [
        ("trace-9", asked["id"]),
        ("trace-9", asked["id"]),
        ("trace-9", None),
    ]


def requests(route: str, method: str, status: int) -> float:
    labels = {"route": route, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("vireo_http_requests_total", labels) or 0.0


def measured(route: str, method: str) -> float:
    labels = {"route": route, "method": method}
    return REGISTRY.get_sample_value("vireo_http_request_seconds_count", labels) or 0.0


def test_requests_are_counted_and_timed_by_their_route_and_not_by_their_path(http: httpx2.Client, site: Site) -> None:
    before = requests("/v1/jobs/{id}", "GET", 404), measured("/v1/jobs/{id}", "GET")
    http.get("/v1/jobs/job_1")
    http.get("/v1/jobs/job_2")
    wait_until(lambda: requests("/v1/jobs/{id}", "GET", 404) == before[0] + 2)  # counted after the answer
    assert measured("/v1/jobs/{id}", "GET") == before[1] + 2


def test_strangers_cannot_make_new_series_of_metrics(http: httpx2.Client, site: Site) -> None:
    before = requests("unmatched", "other", 404)
    http.request("PROPFIND", "/no/such/route")
    wait_until(lambda: requests("unmatched", "other", 404) == before + 1)  # counted after the answer
    assert requests("unmatched", "PROPFIND", 404) == 0


def test_head_has_the_headers_of_get_and_no_body(http: httpx2.Client, site: Site) -> None:
    head, get = http.head("/livez"), http.get("/livez")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["x-request-id"]
