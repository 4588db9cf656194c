"""Batches against a real gateway and Redis; the driver has tests of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.batches.files import BatchFiles
from core.batches.manifest import BatchItem
from core.batches.rows import row_of
from core.errors import InvalidRequest
from core.state.payloads import payloads_key
from tests.service.doubles import AnsweringWorker, answering
from tests.service.sites import Site, sweep

ITEMS = [{"id": "a", "video_id": f"vid_{'a' * 64}"}, {"video_url": "https://example.org/x.mp4"}, {"broken": 1}]
LABELS = ["a cat", "a dog"]
MANIFEST = "\n".join(map(json.dumps, ITEMS))


@pytest.fixture
def idle(worker: AnsweringWorker) -> AnsweringWorker:
    """A worker that starts jobs and does not end them."""
    worker.answer = lambda _: None
    return worker


def manifest_of(site: Site, job: dict[str, Any]) -> str:
    return site.gateway.store.read_text(f"{payloads_key(job['id'])}/manifest") or ""


def test_items_in_json_are_the_manifest(http: httpx2.Client, idle: AnsweringWorker, site: Site) -> None:
    answer = http.post("/v1/batches", json={"items": ITEMS, "labels": LABELS, "top_k": 1, "mode": "multi"})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], answer.headers["location"]) == ("batch", f"/v1/jobs/{job['id']}")
    assert list(map(json.loads, manifest_of(site, job).splitlines())) == ITEMS
    question = idle.job(job["id"]).request["question"]
    assert ([label["name"] for label in question["labels"]], question["top_k"], question["mode"]) == (
        LABELS,
        1,
        "multi",
    )
    assert http.get(f"/v1/batches/{job['id']}").json()["id"] == job["id"]


def test_a_file_is_the_manifest(http: httpx2.Client, idle: AnsweringWorker, site: Site) -> None:
    fields = {"labels": json.dumps(LABELS), "top_k": "1"}
    answer = http.post("/v1/batches", data=fields, files={"manifest": ("videos.jsonl", MANIFEST.encode())})
    assert answer.status_code == 202, answer.text
    assert manifest_of(site, answer.json()) == MANIFEST
    assert idle.job(answer.json()["id"]).request["question"]["top_k"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"items": [], "labels": LABELS}, 422, "invalid_request"),
        ({"labels": LABELS}, 422, "invalid_request"),
        ({"items": ["x"], "labels": LABELS}, 422, "invalid_request"),
        ({"items": ITEMS}, 422, "invalid_labels"),
        ({"items": ITEMS, "labels": LABELS, "video_id": "x"}, 422, "invalid_request"),
        ({"items": ITEMS, "label_set": "none"}, 404, "unknown_label_set"),
        ({"items": ITEMS, "labels": LABELS, "model": "none"}, 404, "unknown_model"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_at_once(
    http: httpx2.Client, idle: AnsweringWorker, site: Site, body: dict[str, Any], status: int, code: str
) -> None:
    answer = http.post("/v1/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert idle.seen == []
    assert site.partial_files() == []


def test_a_form_needs_its_manifest(http: httpx2.Client, idle: AnsweringWorker) -> None:
    fields = {"labels": (None, json.dumps(LABELS))}
    missing = http.post("/v1/batches", files=fields).json()["error"]
    assert (missing["code"], missing["details"]["field"]) == ("invalid_request", "manifest")
    assert idle.seen == []


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/csv; charset=utf-8", None])
def test_the_whole_body_is_the_manifest(
    http: httpx2.Client, idle: AnsweringWorker, site: Site, kind: str | None
) -> None:
    answer = http.post(
        "/v1/batches",
        params={"labels": LABELS, "top_k": 1},
        content=MANIFEST.encode(),
        headers={"content-type": kind} if kind else {},
    )
    assert answer.status_code == 202, answer.text
    assert manifest_of(site, answer.json()) == MANIFEST
    question = idle.job(answer.json()["id"]).request["question"]
    assert ([label["name"] for label in question["labels"]], question["top_k"]) == (LABELS, 1)


def test_a_body_of_another_kind_is_no_manifest(http: httpx2.Client, idle: AnsweringWorker) -> None:
    sent = http.post("/v1/batches", params={"labels": LABELS}, content=b"x", headers={"content-type": "video/mp4"})
    assert sent.status_code == 415
    assert idle.seen == []


def test_the_query_completes_a_question_in_json(http: httpx2.Client, idle: AnsweringWorker) -> None:
    answer = http.post("/v1/batches", params={"top_k": 1, "labels": "a"}, json={"items": ITEMS, "labels": LABELS})
    question = idle.job(answer.json()["id"]).request["question"]
    assert (len(question["labels"]), question["top_k"]) == (2, 1)
    assert http.post("/v1/batches", params={"top": 1}, json={"items": ITEMS, "labels": LABELS}).status_code == 422


def test_too_many_items_are_refused(serve: Callable[..., AbstractContextManager[Site]], redis_url: str) -> None:
    with serve(max_batch_items=2) as site, answering(redis_url), site.client() as http:
        answer = http.post("/v1/batches", json={"items": ITEMS, "labels": LABELS})
        assert (answer.status_code, answer.json()["error"]["details"]) == (413, {"limit": 2})
        sent = http.post("/v1/batches", data={"labels": '["a"]'}, files={"manifest": b"x" * 5000})
        assert sent.status_code == 413


def test_a_repeat_is_the_same_batch(http: httpx2.Client, idle: AnsweringWorker) -> None:
    body, key = {"items": ITEMS, "labels": LABELS}, {"idempotency-key": "k"}
    first = http.post("/v1/batches", json=body, headers=key).json()["id"]
    assert http.post("/v1/batches", json=body, headers=key).json()["id"] == first
    other = http.post("/v1/batches", json=body | {"items": ITEMS[:1]}, headers=key)
    assert other.status_code == 409


def test_rows_are_read_while_the_batch_runs(http: httpx2.Client, idle: AnsweringWorker, site: Site) -> None:
    job = http.post("/v1/batches", json={"items": ITEMS, "labels": LABELS}).json()
    results = f"/v1/batches/{job['id']}/results"
    assert http.get(results).text == ""
    error = InvalidRequest("It is broken.").to_dict()
    files = BatchFiles(site.gateway.store, job["id"])
    files.write_rows([row_of(BatchItem(index=number, id=f"é{number}"), None, error) for number in range(150)])
    found = http.get(results)
    assert found.headers["content-type"] == "application/jsonl"
    assert [json.loads(line)["id"] for line in found.text.split("\n")[:-1]] == [f"é{number}" for number in range(150)]
    table = http.get(results, params={"format": "csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(table.text.splitlines()))
    assert (len(rows), rows[149]["id"], rows[149]["error"]) == (150, "é149", "It is broken.")
    assert http.get(results, params={"format": "xml"}).status_code == 422


def test_other_jobs_are_no_batches(http: httpx2.Client, worker: AnsweringWorker) -> None:
    job = http.post("/v1/embeddings", json={"texts": ["a"]}).json()["id"]
    for path in (f"/v1/batches/{job}", f"/v1/batches/{job}/results", "/v1/batches/job_0/results"):
        assert http.get(path).json()["error"]["code"] == "unknown_job"


def test_the_files_of_a_batch_go_with_its_record(http: httpx2.Client, idle: AnsweringWorker, site: Site) -> None:
    job = http.post("/v1/batches", json={"items": ITEMS, "labels": LABELS}).json()
    idle.finish(job["id"], {"items": 3})
    sweep(site)
    assert manifest_of(site, job)
    site.redis.zadd("vireo:jobs:finished", {job["id"]: 1})
    sweep(site)
    assert site.gateway.store.find(payloads_key(job["id"])) == []
