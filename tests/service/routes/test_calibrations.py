"""Calibrations over HTTP: what is refused before any work, what the worker is asked, and what can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.state import keys
from tests.core.calibration.records import PICTURE, published
from tests.service.doubles import AnsweringWorker
from tests.service.library import DATASET, Library
from tests.service.sites import Site, error

ENOUGH = {"boxing": (4, 2), "running": (4, 2), "swimming": (4, 1), "rowing": (2, 1)}


def calibrate(http: httpx2.Client, **changes: Any) -> httpx2.Response:
    return http.post("/v1/calibrations", json={"model": "lite", "dataset": DATASET} | changes)


def test_a_calibration_job_is_accepted_with_what_the_worker_needs(
    http: httpx2.Client, site: Site, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset(counts=ENOUGH)
    answer = calibrate(http)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["kind"], answer.json()["subject"]) == ("calibration", "lite")
    assert site.redis.zcard(keys.waiting(keys.TRAINING)) == 1
    http.put("/v1/label-sets/sports", json={"labels": ["Boxing", "running"], "templates": ["a {}."]})
    job = calibrate(http, label_set="sports").json()["id"]
    request = site.run(site.gateway.jobs.get(job)).request
    assert request["label_set"] == "sports:1"
    assert [label["name"] for label in request["labels"]] == ["Boxing", "running"]
    assert request["templates"] == ["a {}."]


def test_too_few_clips_are_refused_with_how_many_are_needed(
    http: httpx2.Client, site: Site, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset()
    refused = calibrate(http)
    found = error(refused, 422, "invalid_request")
    assert found["details"]["field"] == "dataset"
    assert found["details"] | {"clips": 11, "classes": 3, "fewest_clips": 20, "fewest_per_class": 5} == found["details"]
    assert "11 clips of 3 classes" in found["message"]
    assert site.redis.zcard(keys.waiting(keys.TRAINING)) == 0


def test_clips_that_the_version_has_learned_from_do_not_count(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset(counts=ENOUGH)
    library.version("gym", 1, dataset={"id": DATASET})
    refused = calibrate(http, model="gym:1")
    assert "the model has learned from them" in error(refused, 422, "invalid_request")["message"]
    library.version("other", 1, dataset={"id": "ds_" + "f" * 24})
    job = calibrate(http, model="other")
    assert job.json()["request"]["model"] == "other:1", "the exact version"


def test_a_closed_model_knows_only_its_classes(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    library.dataset(counts=ENOUGH)
    library.version("closed", 1, open_labels=False)
    refused = calibrate(http, model="closed")
    error(refused, 422, "invalid_labels")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "nothing"}, 404, "unknown_model"),
        ({"dataset": "ds_" + "f" * 24}, 404, "unknown_dataset"),
        ({"label_set": "nothing"}, 404, "unknown_label_set"),
        ({"dataset": None}, 422, "invalid_request"),
        ({"labels": ["a"]}, 422, "invalid_request"),
    ],
)
def test_what_is_not_there_is_named(
    http: httpx2.Client, library: Library, worker: AnsweringWorker, changes: dict[str, Any], status: int, code: str
) -> None:
    library.dataset(counts=ENOUGH)
    refused = calibrate(http, **changes)
    error(refused, status, code)


def test_calibrations_are_listed_read_and_deleted(
    http: httpx2.Client, library: Library, worker: AnsweringWorker, tmp_path: Path
) -> None:
    assert http.get("/v1/calibrations").json() == {"data": [], "next": None}
    made = [published(library.store, tmp_path / "new", number) for number in (1, 2, 3)]
    of_set = published(library.store, tmp_path / "new", 4, scope="s" * 32, label_set="sports:1")
    page = http.get("/v1/calibrations", params={"limit": 3}).json()
    assert [each["id"] for each in page["data"]] == [each.id for each in (of_set, made[2], made[1])]
    rest = http.get("/v1/calibrations", params={"cursor": page["next"]}).json()
    assert ([each["version"] for each in rest["data"]], rest["next"]) == ([1], None)
    newest = http.get("/v1/calibrations/lite").json()
    assert (newest["id"], newest["version"]) == (made[2].id, 3), "for any labels"
    assert newest["measures"][0]["after"]["ece"] == 0.05
    picture = http.get(newest["links"]["diagram"])
    assert (picture.headers["content-type"], picture.content) == ("image/png", PICTURE)
    assert http.delete(newest["links"]["self"]).status_code == 204
    assert http.get("/v1/calibrations/lite").json()["version"] == 2
    assert http.get(f"/v1/calibrations/{of_set.id}").json()["label_set"] == "sports:1"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "clip-b16", "not_found"),
        ("GET", "nothing", "unknown_model"),
        ("GET", "cal_" + "f" * 24, "not_found"),
        ("GET", "lite/files/calibration.json", "not_found"),
        ("DELETE", "lite", "not_found"),
        ("DELETE", "cal_" + "f" * 24, "not_found"),
    ],
)
def test_what_does_not_exist_is_404(
    http: httpx2.Client, library: Library, worker: AnsweringWorker, tmp_path: Path, method: str, path: str, code: str
) -> None:
    """A calibration is deleted by its id only: a model's name would mean another one each time."""
    published(library.store, tmp_path / "new")
    missing = http.request(method, f"/v1/calibrations/{path}")
    error(missing, 404, code)


def test_a_cursor_must_be_one_that_was_given(http: httpx2.Client) -> None:
    assert http.get("/v1/calibrations", params={"cursor": "x"}).status_code == 422
