"""Answers as dataclasses: what is known has a type, what is new stays in `raw`, what is missing is None."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from rendering.client.files import client_files
from rendering.client.layout import ANSWERS, NAMES, REQUESTS
from rendering.client.synchronous import synchronous
from rendering.client.types import answers_module
from service.app import create_app
from vireo.results import RESULTS
from vireo.schema.datasets import Dataset
from vireo.schema.jobs import JobView
from vireo.schema.labels import LabelCheck
from vireo.schema.questions import Classification
from vireo.schema.result import Result

CLIENT = Path(__file__).parents[2] / "client" / "vireo"


def test_fields_of_a_newer_server_are_in_raw_only() -> None:
    raw = {
        "id": "job_1",
        "mode": "a mode of the future",
        "new": {"field": 1},
        "predictions": [{"label": "a cat", "score": 1, "similarity": 0.25, "new": True}],
        "timeline": {"similarities": {"a cat": [1, 0.5]}, "segments": [{"label": "a cat", "start": 0, "end": 2}]},
    }
    answer = Classification.read(raw)
    assert (answer.id, answer.mode, answer.raw) == ("job_1", "a mode of the future", raw)
    best = answer.predictions[0]
    assert (best.label, best.score, best.raw["new"]) == ("a cat", 1.0, True)
    assert isinstance(best.score, float)
    assert answer.timeline is not None
    assert (answer.timeline.segments[0].end, answer.timeline.similarities) == (2.0, {"a cat": [1.0, 0.5]})
    assert not hasattr(answer, "new")


def test_fields_that_an_older_server_lacks_are_none() -> None:
    answer = Classification.read({"id": "job_1"})
    assert {name: getattr(answer, name) for name in ("predictions", "video", "timeline")} == dict.fromkeys(
        ("predictions", "video", "timeline")
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.id = "job_2"  # type: ignore[misc]


@pytest.mark.parametrize("raw", [None, [], "text", 5, {"predictions": 5, "video": "x", "timings_ms": []}])
def test_nothing_that_is_sent_breaks_the_reading(raw: Any) -> None:
    assert isinstance(Classification.read(raw), Classification)


@pytest.mark.parametrize("kind", [*RESULTS.values(), JobView, Dataset, LabelCheck], ids=lambda kind: kind.__name__)
def test_every_type_can_be_read(kind: type[Result]) -> None:
    """The types of all fields, at any depth, are resolved at the first reading."""
    assert kind.read({}).raw == {}


NOT_READ = {
    *("ErrorEnvelope", "JobEvent", "JobSummary", "Metrics", "JobState"),  # read as errors, events and jobs
    "Calibration",  # as CalibrationView, which has links as well
    *("ClassifyBody", "BatchBody", "IndexBody", "LabelCheckBody"),  # other requests with a few fields more
    *("DescribeBody", "AliasBody", "CompareBody", "ShadowBody", "SessionBody"),  # all their fields are parameters
}


def test_every_type_of_the_server_is_known() -> None:
    described = create_app(Settings()).openapi()["components"]["schemas"]
    ours = {name for module in (ANSWERS, REQUESTS) for _, names in module.values() for name in names}
    others = {name for name in described if name.endswith(("Page", "Links"))}
    assert set(described) - ours - others == NOT_READ


NOT_ASKED = {
    *("/livez", "/metrics", "/v1/session"),  # `get` asks for any path
    *("/v1/training-jobs/{}", "/v1/training-jobs/{}/cancel", "/v1/training-jobs/{}/events"),  # as jobs
    "/v1/training-jobs/{}/metrics",  # the events have them
    "/v1/videos/{}/classify",  # as /v1/classify with `video_id`
    *("/v1/label-sets/{}/versions/{}", "/v1/models/{}/versions/{}"),  # as `name:version`
    *("/v1/evaluations/{}/report", "/v1/models/{}/versions/{}/report"),  # pages for browsers
    "/v1/jobs/{}/files/{}",  # by the URLs that answers have
}


def test_every_route_has_a_method() -> None:
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in create_app(Settings()).openapi()["paths"]}
    source = "".join(path.read_text(encoding="utf-8") for path in (CLIENT / "asynchronous").glob("*.py"))
    alias = "/v1/models/{}/aliases/{}"
    asked = {re.sub(r"\{[^}]+\}", "{}", path) for path in re.findall(r'"(/(?:v1/|readyz)[^"]*)"', source)}
    asked |= {alias + path for path in re.findall(r'_path\(name, alias\)\}(/\w+)"', source)}
    asked |= {re.sub(r"files/[\w.]+$", "files/{}", path) for path in asked}
    assert paths - asked == NOT_ASKED


def test_every_schema_has_one_name() -> None:
    names = [NAMES.get(name, name) for _, names in ANSWERS.values() for name in names]
    assert len(names) == len(set(names))


def test_links_and_results_of_any_kind_have_simple_types() -> None:
    assert "links: dict[str, str]" in answers_module("videos")
    assert "result: Any" in answers_module("jobs")


def test_the_synchronous_client_has_no_async_left() -> None:
    for block in client_files():
        if "synchronous" in block.page:
            text = block.render()
            compile(text, block.page, "exec")
            code = [line for line in text.splitlines() if "asynchronous by docs" not in line]
            assert not [line for line in code if "await " in line or "async " in line or "Async" in line]
    assert "def classify(" in synchronous("client.py")
    assert {path.name for path in (CLIENT / "synchronous").glob("*.py")} == {
        path.name for path in (CLIENT / "asynchronous").glob("*.py")
    }
