"""The OpenAPI document: valid, complete, and correct about errors."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from core.errors import BY_CODE
from core.training_requests import EvaluationRequest, TrainingRequest
from service.bodies import examples
from service.bodies.schemas import AliasBody, ClassifyBody, EmbedBody, KeepBody, LabelSetBody, QuestionBody
from service.bodies.validation import validate_body
from tests.service.sites import Site

ROUTES = {
    "/v1/classify": {"post"},
    "/v1/videos": {"post"},
    "/v1/videos/{id}": {"get", "delete"},
    "/v1/videos/{id}/classify": {"post"},
    "/v1/embeddings": {"post"},
    "/v1/label-sets": {"get"},
    "/v1/label-sets/{name}": {"get", "put", "delete"},
    "/v1/label-sets/{name}/versions": {"get"},
    "/v1/jobs": {"get"},
    "/v1/jobs/{id}": {"get"},
    "/v1/jobs/{id}/cancel": {"post"},
    "/v1/jobs/{id}/events": {"get"},
    "/v1/datasets": {"get", "post"},
    "/v1/datasets/{id}": {"get", "delete"},
    "/v1/training-jobs": {"get", "post"},
    "/v1/training-jobs/{id}": {"get"},
    "/v1/training-jobs/{id}/events": {"get"},
    "/v1/training-jobs/{id}/metrics": {"get"},
    "/v1/training-jobs/{id}/cancel": {"post"},
    "/v1/training-jobs/{id}/resume": {"post"},
    "/v1/evaluations": {"post"},
    "/v1/evaluations/{id}/report": {"get"},
    "/v1/evaluations/{id}/files/{file}": {"get"},
    "/v1/models": {"get", "post"},
    "/v1/models/{name}": {"get", "delete"},
    "/v1/models/{name}/versions/{n}": {"delete"},
    "/v1/models/{name}/versions/{n}/report": {"get"},
    "/v1/models/{name}/versions/{n}/files/{file}": {"get"},
    "/v1/models/{name}/aliases/{alias}": {"put", "delete"},
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
        (QuestionBody, examples.QUESTION_EXAMPLES),
        (KeepBody, examples.KEEP_EXAMPLES),
        (EmbedBody, examples.EMBED_EXAMPLES),
        (LabelSetBody, examples.LABEL_SET_EXAMPLES),
        (TrainingRequest, examples.TRAINING_EXAMPLES),
        (EvaluationRequest, examples.EVALUATION_EXAMPLES),
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


def test_the_interactive_documentation_is_served(http: httpx2.Client, site: Site) -> None:
    assert "swagger" in http.get("/docs").text.lower()
