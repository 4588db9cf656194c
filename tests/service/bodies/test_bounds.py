"""One small request must not hold up the gateway: every value has a bound, and checking stops at the first error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from rapidfuzz import process

from core.errors import InvalidRequest
from core.questions import LONGEST_TEXT, MOST_LABELS, MOST_TEXTS
from service.app import create_app
from service.bodies import validation
from service.bodies.json_reader import MOST_VALUES
from service.bodies.questions import ClassifyBody
from service.bodies.schemas import LabelSetBody
from tests.service.sites import FILE, Site, error

Serve = Callable[..., AbstractContextManager[Site]]
JSON = {"content-type": "application/json"}

BOUNDS = {
    "string": ("maxLength", "enum", "const", "pattern", "format"),
    "array": ("maxItems",),
    "integer": ("maximum", "exclusiveMaximum"),
    "number": ("maximum", "exclusiveMaximum"),
}
UNBOUNDED = {"ClassifyBody.base64", "KeepBody.base64", "EmbedBody.base64"}  # VIREO_MAX_UPLOAD_BYTES, which may change


def without_bound(schema: dict[str, Any], known: dict[str, Any], where: str) -> Iterator[str]:
    """The values inside `schema` that may be endless."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from without_bound(known[name], known, name)
    for branch in schema.get("anyOf", []):
        yield from without_bound(branch, known, where)
    kind = schema.get("type")
    if kind in BOUNDS and not any(bound in schema for bound in BOUNDS[kind]):
        yield where
    if kind == "array":
        yield from without_bound(schema["items"], known, f"{where}[]")
    for name, inner in schema.get("properties", {}).items():
        yield from without_bound(inner, known, f"{where}.{name}")


def test_every_value_of_a_request_has_a_bound_in_the_document() -> None:
    document = create_app().openapi()
    known, found, seen = document["components"]["schemas"], set(), 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            bodies = operation.get("requestBody", {}).get("content", {})
            schemas = [("", bodies.get("application/json", {}).get("schema", {}))]
            schemas += [(f"?{given['name']}", given["schema"]) for given in operation.get("parameters", [])]
            for name, schema in schemas:
                seen += 1
                found |= set(without_bound(schema, known, where + name))
    assert seen > 40
    assert found == UNBOUNDED


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"labels": ["a"] * (MOST_LABELS + 1)}, "invalid_labels", "labels"),
        ({"labels": [1] * 30_000}, "invalid_labels", "labels"),
        ({"labels": [{"name": "a", "prompts": ["b"] * (MOST_TEXTS + 1)}]}, "invalid_labels", "labels"),
        ({"labels": [{"name": "a", **{str(i): 1 for i in range(30_000)}}]}, "invalid_labels", "labels"),
        ({"labels": ["x" * (LONGEST_TEXT + 1)]}, "invalid_labels", "labels"),
        ({"labels": ["a"], "templates": ["{}"] * (MOST_TEXTS + 1)}, "invalid_request", "templates"),
        ({"labels": ["a"], "top_k": MOST_LABELS + 1}, "invalid_request", "top_k"),
        ({"labels": ["a"], "frames": 1 << 40}, "invalid_request", "frames"),
        ({"labels": ["a"], "model": "m" * 201}, "invalid_request", "model"),
        ({"labels": ["a"], "video_url": "http://a/" + "b" * 4096}, "invalid_request", "video_url"),
        ({str(i): 1 for i in range(30_000)}, "invalid_request", "0"),
        ({"x" * 1_000_000: 1}, "invalid_request", "x" * 200),
    ],
)
def test_what_is_too_much_is_refused_by_its_name(
    http: httpx2.Client, body: dict[str, Any], code: str, field: str
) -> None:
    found = error(http.post("/v1/classify", json=body), 422, code)
    assert found["details"]["field"] == field
    assert len(found["message"]) < 300
    assert len(found["details"].get("errors", [])) <= validation.MOST_ERRORS


def test_validation_stops_at_the_first_error() -> None:
    for body in ({"labels": [1] * 9000}, {"labels": ["a"], "templates": [1] * 900}):
        with pytest.raises(ValidationError) as caught:
            ClassifyBody.model_validate(body)
        assert caught.value.error_count() == 1


@pytest.mark.parametrize("name", ["x" * 8_000_000, "\ufdfa" * 100_000])
def test_names_are_cut_before_they_are_compared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def extract(query: str, *rest: Any, **more: Any) -> Any:
        compared.append(query)
        return process.extract(query, *rest, **more)

    monkeypatch.setattr("service.bodies.validation.process", SimpleNamespace(extract=extract))
    with pytest.raises(InvalidRequest):
        validation.validate_body(LabelSetBody, {name: 1})
    assert [len(query) for query in compared] == [100]


@pytest.mark.parametrize("form", [False, True])
def test_the_number_of_values_in_json_is_limited(http: httpx2.Client, form: bool) -> None:
    value: list[list[int]] = [[]] * (MOST_VALUES + 1)
    if form:
        answer = http.post("/v1/classify", data={"labels": json.dumps(value)}, files=FILE)
    else:
        answer = http.post("/v1/classify", content=json.dumps({"labels": value}), headers=JSON)
    found = error(answer, 422, "invalid_labels" if form else "invalid_request")
    assert str(MOST_VALUES) in found["message"]


def test_json_is_small_unless_it_has_a_video(serve: Serve) -> None:
    with serve(max_json_bytes=2000) as site, site.client() as http:
        large = {"labels": ["x" * 2100]}
        for path, method in (("/v1/label-sets/a", "PUT"), ("/v1/classify", "POST"), ("/v1/embeddings", "POST")):
            found = error(http.request(method, path, json=large), 413, "request_too_large")
            assert found["details"]["limit"] == 2000
        found = error(http.post("/v1/classify", files=FILE, data=large), 413, "request_too_large")
        assert found["details"]["limit"] == 2000
        found = error(http.post("/v1/classify", data=large), 413, "request_too_large")
        assert http.post("/v1/videos", json={"base64": "AAAA" * 10_000}).status_code == 201


@pytest.mark.parametrize(
    "path", ["/v1/jobs/{}", "/v1/models/{}", "/v1/videos/{}", "/v1/label-sets/{}", "/v1/datasets/{}"]
)
def test_names_in_paths_are_limited(http: httpx2.Client, path: str) -> None:
    error(http.get(path.format("a" * 200)), 404, error_of(path))
    assert "200" in error(http.get(path.format("a" * 201)), 422, "invalid_request")["message"]


def error_of(path: str) -> str:
    return {
        "jobs": "unknown_job",
        "models": "unknown_model",
        "videos": "unknown_video",
        "datasets": "unknown_dataset",
    }.get(path.split("/")[2], "unknown_label_set")


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/videos", "/v1/embeddings"])
@pytest.mark.parametrize("field", ["url", "video_url"])
def test_an_empty_url_is_refused(http: httpx2.Client, path: str, field: str) -> None:
    body = {field: ""} | ({"labels": ["a"]} if path == "/v1/classify" else {})
    assert error(http.post(path, json=body), 422, "invalid_request")["details"]["field"] == field


def test_an_empty_value_of_a_form_or_query_is_a_value(http: httpx2.Client) -> None:
    """The document gives its schema; JSON with the same value is refused too."""
    form = http.post("/v1/videos", data={"video_id": ""}, files={"video": b"bytes"})
    assert error(form, 422, "invalid_request")["details"]["field"] == "video_id"
    urlencoded = http.post("/v1/classify", data={"labels": "a", "frames": ""})
    assert error(urlencoded, 422, "invalid_request")["details"]["field"] == "frames"
    query = http.post("/v1/datasets", params={"name": ""}, content=b"zip")
    assert error(query, 422, "invalid_request")["details"]["field"] == "name"


def test_a_wrong_query_is_refused_although_the_form_has_the_field(http: httpx2.Client) -> None:
    form: dict[str, Any] = {"data": {"split_seed": "3"}, "files": {"archive": ("x.zip", b"zip")}}
    wrong = http.post("/v1/datasets", params={"split_seed": -1}, **form)
    assert error(wrong, 422, "invalid_request")["details"]["field"] == "split_seed"
    right = http.post("/v1/datasets", params={"split_seed": 4}, **form)
    assert right.json()["request"]["split_seed"] == 3
