"""Request bodies for the OpenAPI document: those read by hand (multipart or JSON) are declared here, with examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

_LABELS = ["riding a bicycle", "playing the guitar", "a cat"]

CLASSIFY: dict[str, dict[str, Any]] = {
    "a URL": {"url": "https://example.org/clip.mp4", "labels": _LABELS, "top_k": 3},
    "a stored video and a label set": {"video_id": "vid_6f3a…", "label_set": "sports:3"},
    "prompts of your own": {
        "video_id": "vid_6f3a…",
        "labels": [{"name": "cat", "prompts": ["a video of a cat.", "a kitten playing."]}, "dog"],
        "views": "4x3",
        "threshold": 0.5,
    },
}
ASK: dict[str, dict[str, Any]] = {"labels": {"labels": _LABELS}, "a label set": {"label_set": "sports", "top_k": 1}}
KEEP: dict[str, dict[str, Any]] = {"a URL": {"url": "https://example.org/clip.mp4"}}
LABEL_SET: dict[str, dict[str, Any]] = {
    "names": {"labels": _LABELS, "description": "What happens in our clips."},
    "prompts": {"labels": [{"name": "cat", "prompts": ["a video of a cat."]}], "templates": ["a video of {}."]},
}
EMBED: dict[str, dict[str, Any]] = {
    "texts": {"texts": ["a person riding a bicycle"]},
    "a stored video": {"video_id": "vid_6f3a…"},
}

_DATASET_ID = "ds_0123456789abcdef01234567"
TRAINING: dict[str, dict[str, Any]] = {
    "on a laptop": {"name": "my-gym", "dataset": _DATASET_ID, "base": "lite", "epochs": 5},
    "few-shot, and what it costs other labels": {
        "name": "my-gym",
        "dataset": _DATASET_ID,
        "base": "clip-b16",
        "temporal": "transformer",
        "shots": 4,
        "seed": 1,
        "novel": 0.5,
        "templates": ["a video of a person {}."],
    },
}
EVALUATION: dict[str, dict[str, Any]] = {
    "a version": {"model": "my-gym@production", "dataset": _DATASET_ID, "views": "4x3"},
    "zero-shot, halves of the classes": {"dataset": _DATASET_ID, "split": "all", "protocol": "half_class"},
}
ALIAS: dict[str, dict[str, Any]] = {"the third version": {"version": 3}}
DATASET: dict[str, Any] = {"archive": "@my-gym.zip", "name": "my-gym"}
IMPORT: dict[str, Any] = {"file": "@vitb-16-f8.pt", "name": "k400", "base": "clip-b16"}

_AS_JSON = ("labels", "templates", "texts", "classes")


def json_body(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`openapi_extra` for a body of `model`, as JSON."""
    content = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def request_body(model: type[BaseModel], examples: dict[str, dict[str, Any]], *, file: bool) -> dict[str, Any]:
    """`openapi_extra` for a body of `model`, as JSON or as a form; `file`: the form may hold the video."""
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
        {"name": name, "in": "query", "required": False, "schema": schema, "description": "Where the body is the file."}
        for name, schema in _properties(model).items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


def components(*models: type[BaseModel]) -> dict[str, Any]:
    """The schemas that `request_body` refers to."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _properties(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties: dict[str, Any] = schema["properties"]
    for name in _AS_JSON:
        if name in properties:
            words = properties[name].get("description", "")
            properties[name] = {
                "type": "array",
                "items": {"type": "string"},
                "description": f"{words} The field repeated, or one JSON array.",
            }
    return properties


def _form_example(body: dict[str, Any], file: bool) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if not (file and name in ("url", "video_id"))}
    return ({"video": "@clip.mp4"} if file else {}) | kept
