"""The OpenAPI document: bodies that routes read by hand (multipart or JSON), error responses, the whole document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from core.errors import VireoError
from core.questions import LONGEST_TEXT
from core.training_requests import EvaluationRequest, TrainingRequest
from service.bodies.schemas import (
    LIST_FIELDS,
    AliasBody,
    ClassifyBody,
    EmbedBody,
    ErrorEnvelope,
    KeepBody,
    LabelSetBody,
    QuestionBody,
)

Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a route, by status."""

_READ_BY_HAND = (
    ClassifyBody,
    QuestionBody,
    KeepBody,
    EmbedBody,
    LabelSetBody,
    AliasBody,
    TrainingRequest,
    EvaluationRequest,
)


def json_body(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`openapi_extra` for a body of `model`, as JSON."""
    content = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def json_or_form_body(model: type[BaseModel], examples: dict[str, dict[str, Any]], *, file: bool) -> dict[str, Any]:
    """`openapi_extra` for a body of `model`, as JSON or as a form. `file`: the form may have the file `video`."""
    first = next(iter(examples.values()))
    form = {name: schema for name, schema in _properties(model).items() if name != "base64"}
    if file:
        form = {"video": {"type": "string", "format": "binary", "description": "The video file."}} | form
    extra = json_body(model, examples)
    extra["requestBody"]["content"]["multipart/form-data"] = {
        "schema": {"type": "object", "properties": form},
        "examples": {"a form": {"value": _form_example(first, file)}},
    }
    return extra


def file_body(model: type[BaseModel], field: str, example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` for a form with the file `field`, or the file as the body and the other fields in the query."""
    file = {"type": "string", "format": "binary"}
    form = {"schema": {"type": "object", "properties": {field: file} | _properties(model)}}
    raw = {"schema": file, "examples": {"the file itself": {"value": example[field]}}}
    content = {
        "multipart/form-data": form | {"examples": {"a form": {"value": example}}},
        "application/octet-stream": raw,
    }
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": "For requests whose body is the file.",
        }
        for name, schema in _properties(model).items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


def another_response(status: int, model: type[BaseModel], description: str) -> Responses:
    """A response besides the one that the route declares."""
    return {status: {"model": model, "description": description}}


def documented_errors(*kinds: type[VireoError]) -> Responses:
    """The errors that a route may answer, with an example for each code."""
    answers: Responses = {}
    for kind in kinds:
        answer = answers.setdefault(kind.status, {"model": ErrorEnvelope, "description": "", "content": {}})
        words = (kind.__doc__ or "").split("\n")[0] or kind.code.replace("_", " ")
        answer["description"] = ", ".join(filter(None, [answer["description"], kind.code]))
        examples = answer["content"].setdefault("application/json", {}).setdefault("examples", {})
        body = kind(words).to_dict("req_4f1c…")
        examples[kind.code] = {"value": {"error": body}}
        if kind.retry_after is not None:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return answers


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of the application, built once. It includes the schemas of the bodies that routes read by hand."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        for name, body in _schemas(*_READ_BY_HAND).items():
            known.setdefault(name, body)
        app.openapi_schema = schema
    return app.openapi_schema


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _properties(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of `model` as a form or a query has them."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties: dict[str, Any] = schema["properties"]
    for name in LIST_FIELDS:
        if name in properties:
            words = properties[name].get("description", "")
            branches = [properties[name], *properties[name].get("anyOf", [])]
            properties[name] = {
                "type": "array",
                "items": {"type": "string", "maxLength": LONGEST_TEXT},
                "maxItems": next(branch["maxItems"] for branch in branches if "maxItems" in branch),
                "description": f"{words} Repeat the field, or send one JSON array.",
            }
    return properties


def _form_example(body: dict[str, Any], file: bool) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if not (file and name in ("url", "video_id"))}
    return ({"video": "@clip.mp4"} if file else {}) | kept
