"""The label doctor over HTTP: what the gateway finds by itself, and what it asks the worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from core.labels.check import LabelCheck, LabelCheckRequest, LabelMap
from core.records import Job
from tests.service.doubles import answering
from tests.service.library import Library
from tests.service.sites import Site, error

ASKED: list[dict[str, Any]] = []


def check(job: Job) -> dict[str, Any]:
    ASKED.append(job.request)
    request = LabelCheckRequest.model_validate(job.request)
    answer = LabelCheck(
        id=job.id,
        model=request.model or "lite",
        checked=len(request.labels),
        findings=list(request.found),
        near=0.7,
        mean_similarity=0.1,
        map=LabelMap(url=f"/v1/jobs/{job.id}/files/labels.png", width=1, height=1),
    )
    return answer.model_dump(mode="json")


@pytest.fixture(autouse=True)
def _worker(site: Site, redis_url: str) -> Iterator[None]:
    ASKED.clear()
    with answering(redis_url, check):
        yield


def test_labels_of_the_request_may_repeat_each_other(http: httpx2.Client) -> None:
    labels = ["Brush hair", "brush_hair", "17", {"name": "cat", "prompts": ["a cat."]}]
    answer = http.post("/v1/labels/check", json={"labels": labels, "model": "lite"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {finding["code"] for finding in found["findings"]} == {"duplicate", "numeric", "camel_case"}
    assert all(finding["suggestion"] for finding in found["findings"])
    assert (found["checked"], found["model"]) == (4, "lite")
    assert ASKED[0]["labels"][3] == {"name": "cat", "prompts": ["a cat."]}


def test_a_label_set_is_checked_with_its_templates(http: httpx2.Client) -> None:
    http.put("/v1/label-sets/hair", json={"labels": ["Brush hair", "comb"], "templates": ["a {}."]})
    assert http.post("/v1/label-sets/hair/check", json={}).json()["findings"] == []
    assert http.post("/v1/label-sets/hair:1/check", json={"templates": ["the {}."]}).status_code == 200
    assert [asked["templates"] for asked in ASKED] == [["a {}."], ["the {}."]]
    error(http.post("/v1/label-sets/nothing/check", json={}), 404, "unknown_label_set")


def test_a_fine_tuned_model_reads_labels_as_it_was_trained(http: httpx2.Client, library: Library) -> None:
    library.version("gym", 1, classifier={"kind": "text", "normalize_labels": True})
    found = http.post("/v1/labels/check", json={"labels": ["brush_hair"], "model": "gym"}).json()
    assert found["findings"] == []
    assert (ASKED[0]["model"], ASKED[0]["normalize_labels"]) == ("gym:1", True)
    as_written = {"labels": ["brush_hair"], "model": "gym", "normalize_labels": False}
    assert http.post("/v1/labels/check", json=as_written).json()["findings"][0]["code"] == "camel_case"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"labels": []}, 422, "invalid_labels"),
        ({"labels": ["a", " "]}, 422, "invalid_labels"),
        ({"labels": ["a"] * 51}, 422, "invalid_labels"),
        ({}, 422, "invalid_labels"),
        ({"labels": ["a"], "templates": ["no braces"]}, 422, "invalid_request"),
        ({"labels": ["a"], "model": "nothing"}, 404, "unknown_model"),
    ],
)
def test_what_cannot_be_checked_is_refused(http: httpx2.Client, body: dict[str, Any], status: int, code: str) -> None:
    error(http.post("/v1/labels/check", json=body), status, code)
    assert ASKED == []
