"""What makes a body that fits the document acceptable to this service: names that exist, and values that agree."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from typing import Any

from schemathesis.transport.serialization import Binary

from core.vocabulary import METHOD_FIELDS, METHOD_RECIPES
from tests.e2e.contract.cases import CLIP, DATA, draw, follows_a_link, is_form, numbers

_LABELS = ["a cat", "colour bars", "counting cells"]
MANIFEST = json.dumps({"video_id": DATA["video"]}).encode()


def _one_source(case: Any, body: dict[str, Any]) -> None:
    """Exactly one video, and no URL, which would be fetched. `oneOf` could say so, but breaks generators of clients."""
    _drop_sources(body)
    if draw(case) % 3 == 0:
        body["video_id"] = DATA["video"]
    else:
        _bring(case, body, CLIP)


def _keep(case: Any, body: dict[str, Any]) -> None:
    """In a sequence a new video: if it was there already depended on the sequences before. In a form a tag that begins
    with a bracket is read as JSON."""
    _one_source(case, body)
    if body.get("tags") is not None:
        body["tags"] = [_text(tag[:40], number) for number, tag in enumerate(body["tags"])]
    if follows_a_link(case):
        _drop_sources(body)
        _bring(case, body, _another_clip())


def _drop_sources(body: dict[str, Any]) -> None:
    for name in ("video", "video_url", "url", "base64", "video_id"):
        body.pop(name, None)


def _bring(case: Any, body: dict[str, Any], clip: bytes) -> None:
    if is_form(case):
        body["video"] = Binary(clip)
    else:
        body["base64"] = base64.b64encode(clip).decode()


def _another_clip() -> bytes:
    """Bytes behind the end of a container change nothing but the id."""
    return CLIP + f"{os.getpid()} {next(numbers)}".encode()


def question(case: Any, body: dict[str, Any]) -> None:
    """Labels from one place; limits that settings lower; a model that is there."""
    if body.pop("label_set", None) is not None and draw(case) % 2:
        body.pop("labels", None)
        body["label_set"] = DATA["label_set"]
    else:
        body["labels"] = _labels(body.get("labels"), form=is_form(case) or not isinstance(case.body, dict))
    _settle_templates(body)
    _settle_options(body)
    body |= _possible(body)
    if isinstance(body.get("timeline"), dict):
        body["timeline"] = _possible(body["timeline"])


def _possible(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a timeline with thresholds in order, and a window that fits the stride."""
    found = dict(options)
    if found.get("window") is not None:
        found["stride"] = found["window"]
    if "enter" in found or "leave" in found:
        found |= {"enter": 0.5, "leave": 0.25}
    return found


def _labels(labels: list[Any] | None, *, form: bool) -> list[Any]:
    """Labels that differ by more than case and spaces, with text in each of them."""
    found: list[Any] = []
    for number, label in enumerate((labels or _LABELS)[:20]):
        if isinstance(label, str):
            found.append(_text(label, number))
        else:
            prompts = [_text(prompt, number) for prompt in (label.get("prompts") or _LABELS)[:5]]
            found.append({"name": _text(label["name"], number)} | ({"prompts": prompts} if "prompts" in label else {}))
    # one label with a comma is refused in a form: it is nearly always meant as several
    return [label.replace(",", ";") for label in found] if form else found


def _text(text: str, number: int) -> str:
    return f"{number} {text[:100]}"


def _settle_templates(body: dict[str, Any]) -> None:
    """At least one template, each with one `{}` and no other brace."""
    if body.get("templates") is not None:
        body["templates"] = ["{} " + re.sub("[{}]", "", text[:100]) for text in (body["templates"] or [""])[:5]]


def _settle_options(body: dict[str, Any]) -> None:
    if body.get("frames") is not None:
        body["frames"] = 1 + int(body["frames"]) % 8  # a query has texts
    if body.get("model") is not None:
        body["model"] = "tiny"


def _classify(case: Any, body: dict[str, Any]) -> None:
    _one_source(case, body)
    question(case, body)


def _batch(case: Any, body: dict[str, Any]) -> None:
    """A few videos, which need not be there: each has an error of its own."""
    question(case, body)
    if "items" in body:
        body["items"] = body["items"][:5]
    if "manifest" in body:
        body["manifest"] = Binary(MANIFEST)


def _explain(case: Any, body: dict[str, Any]) -> None:
    """A question, and one of its labels."""
    question(case, body)
    if body.get("label") is not None:
        if body.pop("label_set", None) is not None:
            body["labels"] = _labels(None, form=False)
        first = body["labels"][0]
        body["label"] = first if isinstance(first, str) else first["name"]


def _embed(case: Any, body: dict[str, Any]) -> None:
    """Texts or a video."""
    if body.get("texts") is None:
        _one_source(case, body)
    else:
        _drop_sources(body)
        body["texts"] = [_text(text, number) for number, text in enumerate((body["texts"] or _LABELS)[:20])]
    _settle_options(body)


def _search(case: Any, body: dict[str, Any]) -> None:
    """A text or a video."""
    body.pop("video_id", None)
    body["text"] = _text(body.get("text") or "a cat", 0)
    if draw(case) % 3 == 0:
        body["video_id"] = DATA["video"]
        del body["text"]
    _settle_templates(body)
    _settle_options(body)


def _model(case: Any, body: dict[str, Any]) -> None:
    _settle_options(body)


def _feedback(case: Any, body: dict[str, Any]) -> None:
    """About a video that is there and an answer that is known; a label that may be chosen; no span that is empty."""
    for name in ("job", "labels", "start", "end"):
        body.pop(name, None)
    body |= {"video": DATA["video"], "label": _text(body.get("label") or "a cat", 0)}
    if body.get("model") is not None:
        body["model"] = "tiny"
    if draw(case) % 3 == 0:
        body |= {"start": 0.0, "end": 0.5, "labels": [body["label"], "a dog"]}
    if follows_a_link(case):  # of its own, because other sequences may delete what they share
        body |= {"start": os.getpid() % 1000 * 1e-4 + next(numbers) * 1e-7, "end": 0.5}


def _label_set(case: Any, body: dict[str, Any]) -> None:
    body["labels"] = _labels(body["labels"], form=False)
    _settle_templates(body)
    if follows_a_link(case):
        body["description"] = f"new content, and so a new version: {os.getpid()} {next(numbers)}"


def _alias(case: Any, body: dict[str, Any]) -> None:
    body["version"] = 1


def _shadow(case: Any, body: dict[str, Any]) -> None:
    body["version"] = 2


def _training(case: Any, body: dict[str, Any]) -> None:
    """A dataset that is there, and no options that exclude each other."""
    body |= {"name": new_model(body["name"]), "dataset": DATA["dataset"], "base": "tiny"}
    for name in ("temporal_init", "text_inputs", "novel", "split_column"):  # for some heads, classifiers, datasets
        body.pop(name, None)
    method = body.get("method", "text4vis")
    if body.get("recipe", "default") not in METHOD_RECIPES[method]:
        body["recipe"] = METHOD_RECIPES[method][draw(case) % len(METHOD_RECIPES[method])]
    for name in frozenset().union(*METHOD_FIELDS.values()) - METHOD_FIELDS[method]:
        body.pop(name, None)
    if body.get("shots") is not None:
        body["shots"] = 1
    _settle_templates(body)
    if not body.get("classifier", "text").startswith("text"):
        body.pop("templates", None)


def _preview(case: Any, body: dict[str, Any]) -> None:
    body.pop("split_column", None)  # of other datasets
    if body.get("base") is not None:
        body["base"] = "tiny"
    _settle_templates(body)


def _compare(case: Any, body: dict[str, Any]) -> None:
    body["model"] = DATA["model"]
    if body.get("dataset") is not None:
        body["dataset"] = DATA["dataset"]


def _import(case: Any, body: dict[str, Any]) -> None:
    body["name"] = new_model(body["name"])
    choose_classes(body)


def choose_classes(fields: dict[str, Any]) -> None:
    """Names that no bracket begins, because such a name is read as JSON in a form and in a query; none has a comma."""
    if fields.get("classes") is not None:
        fields["classes"] = [
            _text(name, number).replace(",", ";") for number, name in enumerate(fields["classes"][:20])
        ]


def new_model(name: str) -> str:
    """A name that no model of the zoo has."""
    return f"my-{name}"[:63]


def _evaluation(case: Any, body: dict[str, Any]) -> None:
    """A dataset and a model that are there; all clips; as many labels as classes; a protocol for two classes."""
    body |= {"dataset": DATA["dataset"], "split": "all", "protocol": "full-class"}
    for name in ("shots", "seeds", "splits", "training", "name", "split_column"):  # of other protocols, other datasets
        body.pop(name, None)
    if body.get("model") is not None:
        body["model"] = DATA["model"]
    if body.get("labels") is not None:
        body["labels"] = _LABELS[:2]
    _settle_templates(body)


def _calibration(case: Any, body: dict[str, Any]) -> None:
    """A dataset with enough clips, for any labels: a label set would need clips of its own."""
    body["dataset"] = DATA["clips"]
    body.pop("label_set", None)
    if body.get("model") is not None:
        body["model"] = "tiny"


def _label_check(case: Any, body: dict[str, Any]) -> None:
    if "labels" in body:
        body["labels"] = _labels(body["labels"], form=False)
    _settle_templates(body)
    _settle_options(body)


BODIES: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("POST", "/v1/classify"): _classify,
    ("POST", "/v1/videos"): _keep,
    ("POST", "/v1/videos/{id}/classify"): question,
    ("POST", "/v1/videos/{id}/timeline"): question,
    ("POST", "/v1/videos/{id}/explain"): _explain,
    ("POST", "/v1/videos/{id}/frames"): _model,
    ("POST", "/v1/batches"): _batch,
    ("POST", "/v1/feedback"): _feedback,
    ("POST", "/v1/search"): _search,
    ("POST", "/v1/search/index"): _model,
    ("POST", "/v1/embeddings"): _embed,
    ("POST", "/v1/training-jobs"): _training,
    ("POST", "/v1/datasets/{id}/preview"): _preview,
    ("POST", "/v1/models/{name}/aliases/{alias}/compare"): _compare,
    ("POST", "/v1/models"): _import,
    ("POST", "/v1/evaluations"): _evaluation,
    ("POST", "/v1/calibrations"): _calibration,
    ("POST", "/v1/labels/check"): _label_check,
    ("POST", "/v1/label-sets/{name}/check"): _label_check,
    ("PUT", "/v1/label-sets/{name}"): _label_set,
    ("PUT", "/v1/models/{name}/aliases/{alias}"): _alias,
    ("PUT", "/v1/models/{name}/aliases/{alias}/shadow"): _shadow,
}
