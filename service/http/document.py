"""The OpenAPI document of the whole application, good enough to generate a client from."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from core.calibration.request import CalibrationBody
from core.training_requests import EvaluationRequest, PreviewBody, TrainingRequest
from service.bodies.feedback.bodies import FeedbackBody, FeedbackDatasetBody
from service.bodies.job_types import EVENT_DATA, JOB_EVENT_SCHEMA
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
    ErrorEnvelope,
    LabelCheckBody,
    LabelSetBody,
    LabelSetCheckBody,
    ShadowBody,
)
from service.http.credentials import COOKIE
from service.http.openapi import SHARED_ERRORS, documented_errors, without_null

_ABOUT: Final[dict[str, Any]] = {
    "title": "Vireo",
    "version": "1",
    "description": "Tells you what happens in a video, in your own words: any video, any labels.",
    "license_info": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "servers": [{"url": "/", "description": "This server."}],
}

TAGS: Final = {
    "classify": "Score a video against any labels.",
    "videos": "Store a video once and ask about it again.",
    "feedback": "Confirm and correct answers, and bring in labels from elsewhere.",
    "search": "Find stored videos by what they show.",
    "batches": "Ask one question about many videos.",
    "embeddings": "Vectors of texts and videos in the model's joint space.",
    "label-sets": "Named, versioned lists of labels, and a check of labels before anything is asked.",
    "datasets": "Labelled videos to train and evaluate on.",
    "training": "Train a model on a dataset; follow, cancel and resume the run.",
    "evaluations": "Measure a model on a dataset.",
    "calibrations": "Find out how often a model's similarities are right, and answer with confidence.",
    "models": "Models, the versions of fine-tuned ones, and their aliases.",
    "jobs": "Follow and cancel work of any kind. Every question is a job, too.",
    "operations": "For operators: liveness, readiness, metrics, and what this server runs.",
}
"""What the operations of each tag are about."""

_COMPONENTS = (
    ClassifyBody,
    BatchBody,
    QuestionBody,
    KeepBody,
    DescribeBody,
    EmbedBody,
    ExplainBody,
    FramesBody,
    TimelineBody,
    SearchBody,
    IndexBody,
    FeedbackBody,
    FeedbackDatasetBody,
    LabelSetBody,
    LabelCheckBody,
    LabelSetCheckBody,
    AliasBody,
    CompareBody,
    ShadowBody,
    TrainingRequest,
    EvaluationRequest,
    CalibrationBody,
    PreviewBody,
    ErrorEnvelope,
    *EVENT_DATA,
)
"""Models that the document refers to by name and that no route declares as a parameter or an answer."""

_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer vireo_…`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "What `PUT /v1/session` sets."},
}
"""How a key is sent. A server on a loopback address needs none until there is one."""

_FRAMEWORK = "#/components/schemas/HTTPValidationError"  # FastAPI's own error, which this server never answers


def openapi_document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    document = get_openapi(
        **_ABOUT,
        tags=[{"name": name, "description": words} for name, words in TAGS.items()],
        routes=routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["securitySchemes"] = _SECURITY
    document["security"] = [{}, *({name: []} for name in _SECURITY)]
    schemas["JobEvent"] = JOB_EVENT_SCHEMA
    for name, schema in _schemas(*_COMPONENTS).items():
        schemas.setdefault(name, schema)
    for item in document["paths"].values():
        for operation in item.values():
            _complete(operation)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def _complete(operation: dict[str, Any]) -> None:
    """Add what all operations share: a sentence as the summary, and the errors that each of them may answer."""
    operation["summary"] = _first_sentence(operation.get("description", operation["summary"]))
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = without_null(parameter["schema"])  # a parameter that is null is left out
    responses = operation["responses"]
    for status, response in responses.items():
        if response.get("description") == "Successful Response":
            response["description"] = f"{HTTPStatus(int(status)).phrase}."
    if responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema") == {"$ref": _FRAMEWORK}:
        del responses["422"]
    for status, shared in documented_errors(*SHARED_ERRORS).items():
        response = responses.setdefault(str(status), {"description": "", "content": {}})
        content = response.setdefault("content", {}).setdefault("application/json", {})
        content.setdefault("schema", {"$ref": f"#/components/schemas/{ErrorEnvelope.__name__}"})
        if "headers" in shared:
            response["headers"] = shared["headers"] | response.get("headers", {})
        examples = content.setdefault("examples", {})
        for code, example in shared["content"]["application/json"]["examples"].items():
            if code not in examples:
                examples[code] = example
                response["description"] = ", ".join(filter(None, [response["description"], code]))
    operation["responses"] = dict(sorted(responses.items()))


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    end = paragraph.find(". ")
    return paragraph if end < 0 else paragraph[: end + 1]


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
