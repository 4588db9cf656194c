from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from service.bodies.schemas import LabelSetBody
from tests.service.doubles import AnsweringWorker
from tests.service.sites import FILE, Site, error

SPORTS: dict[str, Any] = {"labels": ["skiing", {"name": "surfing", "prompts": ["a person on a wave."]}]}


def test_versions_are_written_once_and_never_changed(http: httpx2.Client, site: Site) -> None:
    first = http.put("/v1/label-sets/sports", json=SPORTS)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert first.headers["location"] == "/v1/label-sets/sports:1"
    same = http.put("/v1/label-sets/sports", json=SPORTS)
    assert (same.status_code, same.json()) == (200, first.json())
    second = http.put("/v1/label-sets/sports", json=SPORTS | {"templates": ["a video of {}."]})
    assert (second.status_code, second.json()["version"]) == (201, 2)
    back = http.put("/v1/label-sets/sports", json=SPORTS)
    assert back.json()["version"] == 3

    assert http.get("/v1/label-sets/sports").json() == back.json()
    assert http.get("/v1/label-sets/sports:1").json() == first.json()
    assert [v["version"] for v in http.get("/v1/label-sets/sports/versions").json()["data"]] == [3, 2, 1]


def test_version_numbers_are_not_reused_after_a_deletion(http: httpx2.Client, site: Site) -> None:
    http.put("/v1/label-sets/sports", json=SPORTS)
    assert http.delete("/v1/label-sets/sports").status_code == 204
    error(http.get("/v1/label-sets/sports"), 404, "unknown_label_set")
    error(http.get("/v1/label-sets/sports/versions"), 404, "unknown_label_set")
    error(http.delete("/v1/label-sets/sports"), 404, "unknown_label_set")
    assert http.put("/v1/label-sets/sports", json=SPORTS).json()["version"] == 2
    error(http.get("/v1/label-sets/sports:1"), 404, "unknown_label_set")


def test_lists_are_paged_by_name(http: httpx2.Client, site: Site) -> None:
    for name in ("b", "a", "c"):
        http.put(f"/v1/label-sets/{name}", json=SPORTS)
    first = http.get("/v1/label-sets", params={"limit": 2}).json()
    assert [s["name"] for s in first["data"]] == ["a", "b"]
    rest = http.get("/v1/label-sets", params={"limit": 2, "cursor": first["next"]}).json()
    assert [s["name"] for s in rest["data"]] == ["c"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("-x", SPORTS, "invalid_request"),
        ("a:1", SPORTS, "invalid_request"),
        ("x" * 101, SPORTS, "invalid_request"),
        ("x", {}, "invalid_labels"),
        ("x", {"labels": []}, "invalid_labels"),
        ("x", {"labels": ["a", "a"]}, "invalid_labels"),
        ("x", {"labels": ["a"], "templates": ["{"]}, "invalid_request"),
        ("x", {"labels": ["a"], "colour": 1}, "invalid_request"),
    ],
)
def test_invalid_label_sets(http: httpx2.Client, site: Site, name: str, body: dict[str, Any], code: str) -> None:
    error(http.put(f"/v1/label-sets/{name}", json=body), 422, code)
    assert http.get("/v1/label-sets").json()["data"] == []


def test_label_sets_must_be_json(http: httpx2.Client, site: Site) -> None:
    error(http.put("/v1/label-sets/x", content=b"labels"), 415, "unsupported_media_type")
    too_long = http.put("/v1/label-sets/x", content=b"[" * (9 << 20), headers={"content-type": "application/json"})
    error(too_long, 413, "request_too_large")


def test_a_question_uses_labels_and_templates_of_a_set(http: httpx2.Client, worker: AnsweringWorker) -> None:
    http.put("/v1/label-sets/sports", json=SPORTS | {"templates": ["a video of {}."]})
    http.put("/v1/label-sets/sports", json={"labels": ["running"]})
    answer = http.post("/v1/classify", data={"label_set": "sports:1"}, files=FILE).json()
    question = worker.job(answer["id"]).request["question"]
    assert [label["name"] for label in question["labels"]] == ["skiing", "surfing"]
    assert question["labels"][1]["prompts"] == ["a person on a wave."]
    assert question["templates"] == ["a video of {}."]
    own = http.post("/v1/classify", data={"label_set": "sports:1", "templates": "only {}"}, files=FILE).json()
    assert worker.job(own["id"]).request["question"]["templates"] == ["only {}"]
    latest = http.post("/v1/classify", data={"label_set": "sports"}, files=FILE).json()
    assert [p["label"] for p in latest["predictions"]] == ["running"]


def test_concurrent_puts_get_different_numbers(site: Site) -> None:
    async def put_all() -> list[int]:
        bodies = [LabelSetBody.model_validate({"labels": [f"label {i}"]}) for i in range(8)]
        made = await asyncio.gather(*(site.gateway.label_sets.put("busy", body) for body in bodies))
        return [label_set.version for label_set, _ in made]

    assert sorted(site.run(put_all())) == list(range(1, 9))
