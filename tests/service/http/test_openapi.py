"""The OpenAPI document: valid, complete, and correct about errors."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from core.errors import BY_CODE
from core.training_requests import EvaluationRequest, PreviewBody, TrainingRequest
from service.bodies import examples
from service.bodies.questions import (
    BatchBody,
    ClassifyBody,
    DescribeBody,
    EmbedBody,
    ExplainBody,
    FramesBody,
    IndexBody,
    KeepBody,
    QuestionBody,
    SearchBody,
    TimelineBody,
)
from service.bodies.schemas import (
    AliasBody,
    CompareBody,
    LabelSetBody,
    ShadowBody,
)
from service.bodies.validation import validate_body
from tests.service.sites import Site, error

ROUTES = {
    "/v1/classify": {"post"},
    "/v1/videos": {"get", "post"},
    "/v1/videos/{id}": {"get", "patch", "delete"},
    "/v1/videos/{id}/classify": {"post"},
    "/v1/videos/{id}/explain": {"post"},
    "/v1/videos/{id}/timeline": {"post"},
    "/v1/search": {"post"},
    "/v1/search/index": {"post"},
    "/v1/embeddings": {"post"},
    "/v1/label-sets": {"get"},
    "/v1/label-sets/{name}": {"get", "put", "delete"},
    "/v1/label-sets/{name}/versions": {"get"},
    "/v1/label-sets/{name}/versions/{n}": {"get", "delete"},
    "/v1/jobs": {"get"},
    "/v1/jobs/{id}": {"get"},
    "/v1/jobs/{id}/cancel": {"post"},
    "/v1/jobs/{id}/events": {"get"},
    "/v1/jobs/{id}/files/{file}": {"get"},
    "/v1/datasets": {"get", "post"},
    "/v1/datasets/{id}": {"get", "delete"},
    "/v1/training-jobs": {"get", "post"},
    "/v1/training-jobs/{id}": {"get"},
    "/v1/training-jobs/{id}/events": {"get"},
    "/v1/training-jobs/{id}/metrics": {"get"},
    "/v1/training-jobs/{id}/cancel": {"post"},
    "/v1/training-jobs/{id}/resume": {"post"},
    "/v1/evaluations": {"get", "post"},
    "/v1/evaluations/{id}": {"get", "delete"},
    "/v1/evaluations/{id}/report": {"get"},
    "/v1/evaluations/{id}/files/{file}": {"get"},
    "/v1/models": {"get", "post"},
    "/v1/models/{name}": {"get", "delete"},
    "/v1/models/{name}/versions/{n}": {"delete"},
    "/v1/models/{name}/versions/{n}/report": {"get"},
    "/v1/models/{name}/versions/{n}/files/{file}": {"get"},
    "/v1/models/{name}/aliases/{alias}": {"get", "put", "delete"},
    "/v1/models/{name}/aliases/{alias}/compare": {"post"},
    "/v1/models/{name}/aliases/{alias}/shadow": {"get", "put", "delete"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
    "/v1/info": {"get"},
}


@pytest.fixture
def document(http: httpx2.Client, site: Site) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{m} {p}", o) for p, item in document["paths"].items() for m, o in item.items()]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


def test_every_route_is_there(document: dict[str, Any]) -> None:
    assert {path: set(item) for path, item in document["paths"].items() if path in ROUTES} == ROUTES


def test_references_resolve_and_schemas_are_valid(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in references(document)} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_operation_ids_are_unique_and_readable(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert {"classify-classify", "videos-keep", "jobs-cancel", "label-sets-put"} <= set(ids)
    assert all(operation.get("description") for _, operation in operations(document))


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert content["examples"], (name, kind)
            assert content["schema"], (name, kind)


def test_the_examples_are_valid_bodies() -> None:
    pairs = (
        (ClassifyBody, examples.CLASSIFY_EXAMPLES),
        (BatchBody, examples.BATCH_EXAMPLES),
        (QuestionBody, examples.QUESTION_EXAMPLES),
        (KeepBody, examples.KEEP_EXAMPLES),
        (DescribeBody, examples.DESCRIBE_EXAMPLES),
        (EmbedBody, examples.EMBED_EXAMPLES),
        (ExplainBody, examples.EXPLAIN_EXAMPLES),
        (FramesBody, examples.FRAMES_EXAMPLES),
        (SearchBody, examples.SEARCH_EXAMPLES),
        (IndexBody, examples.INDEX_EXAMPLES),
        (TimelineBody, examples.TIMELINE_EXAMPLES),
        (LabelSetBody, examples.LABEL_SET_EXAMPLES),
        (TrainingRequest, examples.TRAINING_EXAMPLES),
        (EvaluationRequest, examples.EVALUATION_EXAMPLES),
        (PreviewBody, examples.PREVIEW_EXAMPLES),
        (CompareBody, examples.COMPARE_EXAMPLES),
        (ShadowBody, examples.SHADOW_EXAMPLES),
        (AliasBody, examples.ALIAS_EXAMPLES),
    )
    for model, bodies_of in pairs:
        for body in bodies_of.values():
            validate_body(model, body)


def test_documented_errors_have_their_real_status(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            for code, example in answer.get("content", {}).get("application/json", {}).get("examples", {}).items():
                assert example["value"]["error"]["code"] == code, name
                assert BY_CODE[code].status == int(status), name
    classify = document["paths"]["/v1/classify"]["post"]["responses"]
    assert {"200", "202", "404", "409", "413", "415", "422", "429", "503"} <= set(classify)


def test_every_error_is_documented_as_the_envelope(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    for name, operation in operations(document):
        assert {"422", "500"} <= set(operation["responses"]), name
        for status, answer in operation["responses"].items():
            if status >= "400" and (name, status) != ("get /readyz", "503"):
                content = answer["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}, (name, status)
                assert content["examples"], (name, status)


def test_overload_says_when_to_come_back(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status in {"429", "503"} & set(operation["responses"]):
            if name != "get /readyz":
                assert "Retry-After" in operation["responses"][status]["headers"], (name, status)


def header_names(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}


def test_request_headers_are_parameters(document: dict[str, Any]) -> None:
    paths = document["paths"]
    for path in (
        "/v1/classify",
        "/v1/embeddings",
        "/v1/datasets",
        "/v1/training-jobs",
        "/v1/evaluations",
        "/v1/calibrations",
        "/v1/models",
    ):
        assert {"Prefer", "Idempotency-Key"} <= header_names(paths[path]["post"]), path
    for path in ("/v1/jobs/{id}/events", "/v1/training-jobs/{id}/events"):
        assert "Last-Event-ID" in header_names(paths[path]["get"])
    files = [operation for name, operation in operations(document) if name.endswith(("/report", "/files/{file}"))]
    assert len(files) == 6
    for operation in files:
        assert "Range" in header_names(operation)
        assert {"206", "416"} <= set(operation["responses"])


def test_results_progress_and_events_of_jobs_have_types(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    job = schemas["JobView"]["properties"]
    jobs = {"TrainingResult", "PreviewResult", "EvaluationResult", "Comparison", "DatasetResult", "ImportResult"}
    asked = {"Classification", "Embeddings", "Explanation", "LabelCheck", "SearchResult", "IndexResult"}
    results = asked | {"Calibration", "BatchResult"} | jobs
    assert references(job["result"]) == {f"#/components/schemas/{name}" for name in results}
    assert references(job["progress"]) == {"#/components/schemas/JobProgress"}
    for one in results:  # a result fits one of them only
        for other in results - {one}:
            assert not set(schemas[one]["required"]) <= set(schemas[other]["properties"]), (one, other)
    events = document["paths"]["/v1/jobs/{id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert events["schema"] == {"$ref": "#/components/schemas/JobEvent"}
    names = {choice["properties"]["event"]["const"] for choice in schemas["JobEvent"]["oneOf"]}
    assert names == {"state", "progress", "metric", "checkpoint", "log"}


def test_names_and_words_are_fit_for_a_generated_client(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert all(name.isalnum() for name in schemas), sorted(schemas)
    assert {"JobPage", "DatasetPage", "ModelPage", "LabelSetPage"} <= set(schemas)
    described = {tag["name"] for tag in document["tags"] if tag["description"].endswith(".")}
    for name, operation in operations(document):
        assert operation["summary"].endswith("."), name
        assert len(operation["summary"].split()) >= 2, name
        assert set(operation["tags"]) <= described, name
    assert document["servers"] == [{"url": "/", "description": "This server."}]


def test_a_field_that_is_needed_is_required(document: dict[str, Any]) -> None:
    def required(path: str) -> list[str]:
        found: list[str] = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"][
            "required"
        ]
        return found

    assert required("/v1/models") == ["file", "name"]
    assert required("/v1/datasets") == ["archive"]
    labels = document["components"]["schemas"]["LabelSetBody"]["properties"]["labels"]["items"]["anyOf"]
    assert {"type": "string"} in [{"type": each.get("type")} for each in labels]


def test_a_name_that_a_request_may_give_has_its_pattern(document: dict[str, Any], http: httpx2.Client) -> None:
    """The pattern is the rule that the route checks."""
    for path, name, bad in (
        ("/v1/label-sets/{name}", "name", "/v1/label-sets/.a"),
        ("/v1/models/{name}/aliases/{alias}", "alias", "/v1/models/a/aliases/.a"),
    ):
        found = next(each for each in document["paths"][path]["put"]["parameters"] if each["name"] == name)
        pattern = found["schema"]["pattern"]
        assert re.fullmatch(pattern, "a.b-c_1")
        assert not re.fullmatch(pattern, ".a")
        body = {"version": 1} if name == "alias" else {"labels": ["a", "b"]}
        assert error(http.put(bad, json=body), 422, "invalid_request")["details"]["field"] == name


def test_a_wrong_method_is_answered_with_all_methods_of_the_path(http: httpx2.Client, site: Site) -> None:
    assert http.patch("/v1/label-sets/x").headers["allow"] == "DELETE, GET, HEAD, PUT"
    assert http.patch("/v1/videos").headers["allow"] == "GET, HEAD, POST"
    assert http.patch("/v1/classify").headers["allow"] == "POST"
