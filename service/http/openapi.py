"""What routes declare for the OpenAPI document: bodies that they read by hand (multipart or JSON), and responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel

from core.errors import (
    CrossSiteRequest,
    Forbidden,
    HeadersTooLarge,
    HostNotAllowed,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    Unauthenticated,
    VireoError,
)
from core.questions import LONGEST_TEXT
from service.bodies.schemas import LIST_FIELDS, ErrorEnvelope

Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a route, by status."""

_FILE: Final = {"type": "string", "format": "binary"}

SHARED_ERRORS: Final[tuple[type[VireoError], ...]] = (
    *(InvalidRequest, CrossSiteRequest, HostNotAllowed),
    *(Unauthenticated, Forbidden, RateLimited, QuotaExceeded),  # of a key
    *(HeadersTooLarge, RequestTimeout, Overloaded),  # of a connection, before any route
    VireoError,
)
"""Errors that every operation may answer. They are added to each operation of the document."""


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
        form = {"video": _FILE | {"description": "The video file."}} | form
    extra = json_body(model, examples)
    extra["requestBody"]["content"]["multipart/form-data"] = {
        "schema": {"type": "object", "properties": form, "additionalProperties": False},
        "examples": {"a form": {"value": _form_example(first, file)}},
    }
    return extra


def file_body(model: type[BaseModel], field: str, example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` for a form with the file `field`, or the file as the body and the other fields in the query."""
    fields = _properties(model)
    form = {
        "type": "object",
        "properties": {field: _FILE | {"description": "The file."}} | fields,
        "required": [field, *model.model_json_schema().get("required", ())],
        "additionalProperties": False,
    }
    content = {
        "multipart/form-data": {"schema": form, "examples": {"a form": {"value": example}}},
        "application/octet-stream": {"schema": _FILE, "examples": {"the file itself": {"value": example[field]}}},
    }
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": _only(schema, lambda choice: "$ref" not in choice),  # a query sends no object
            "description": "For requests whose body is the file. Another body's own field wins.",
        }
        for name, schema in fields.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


def json_or_file_body(
    model: type[BaseModel],
    examples: dict[str, dict[str, Any]],
    form: type[BaseModel],
    field: str,
    example: dict[str, Any],
) -> dict[str, Any]:
    """`openapi_extra` for a body of `model` as JSON, or for a `file_body` with the fields of `form`."""
    extra = file_body(form, field, example)
    body = extra["requestBody"]
    body["content"] = json_body(model, examples)["requestBody"]["content"] | body["content"]
    return extra


def another_response(status: int, model: type[BaseModel], description: str) -> Responses:
    """A response besides the one that the route declares."""
    return {status: {"model": model, "description": description}}


def documented_errors(*kinds: type[VireoError]) -> Responses:
    """The errors that a route may answer, with an example for each code."""
    answers: Responses = {}
    for kind in kinds:
        answer = answers.setdefault(kind.status, {"model": ErrorEnvelope, "description": "", "content": {}})
        answer["description"] = ", ".join(filter(None, [answer["description"], kind.code]))
        examples = answer["content"].setdefault("application/json", {}).setdefault("examples", {})
        body = kind(kind.code.replace("_", " ").capitalize() + ".").to_dict("req_4f1c…")
        examples[kind.code] = {"value": {"error": body}}
        if kind.retry_after is not None:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return answers


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a list in a form: texts with their own bounds. A label may be an object, which a form writes as text."""
    return schema if schema.get("type") == "string" else {"type": "string", "maxLength": LONGEST_TEXT}


def _properties(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of `model` as a form or a query has them: a field that is left out is null."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties: dict[str, Any] = {name: without_null(field) for name, field in schema["properties"].items()}
    for name in LIST_FIELDS:
        if name in properties:
            words = properties[name].get("description", "")
            properties[name] = {
                "type": "array",
                "items": _items(properties[name]["items"]),
                "maxItems": properties[name]["maxItems"],
                "description": f"{words} Repeat the field, or send one JSON array.",
            }
    return properties


def without_null(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field that cannot be null where it is sent: in a form, a query, a header."""
    given = {name: value for name, value in field.items() if (name, value) != ("default", None)}
    return _only(given, lambda choice: choice.get("type") != "null")


def _only(field: dict[str, Any], fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The schema of a field without the choices that do not fit."""
    kept = {name: value for name, value in field.items() if name != "anyOf"}
    choices = [choice for choice in field.get("anyOf", ()) if fits(choice)]
    return kept | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})


def _form_example(body: dict[str, Any], file: bool) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if not (file and name in ("video_url", "video_id"))}
    return ({"video": "@clip.mp4"} if file else {}) | kept
