"""Hooks of schemathesis: they put names that exist into requests, and make true what a JSON schema cannot say.

A hook changes only what fits the document. A part of a request that schemathesis made unfit stays as it is.
The environment variable VIREO_CONTRACT_DATA names the file with the names that exist (`furniture.py`).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import Binary

from core.uploads.targets import MAX_URL_CHARS
from core.vocabulary import METHOD_FIELDS, METHOD_RECIPES

DATA: dict[str, Any] = json.loads(Path(os.environ["VIREO_CONTRACT_DATA"]).read_text(encoding="utf-8"))
CLIP = base64.b64decode(DATA["clip"])

# A file is a real video or bytes of no known kind; an empty file is refused, and no schema can say so.
schemathesis.openapi.format("binary", st.sampled_from([CLIP, b"\x00no file of any kind\xff"]))


@schemathesis.serializer("text/csv")
def write_table(_: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


_LISTS = ("labels", "templates", "texts", "classes")
_LABELS = ["a cat", "colour bars", "counting cells"]
_MANIFEST = json.dumps({"video_id": DATA["video"]}).encode()

# Parameters of a path, by the resource that comes before them.
_NAMES: dict[str, dict[str, str]] = {
    "/v1/videos/{": {"id": DATA["video"]},
    "/v1/label-sets/{": {"name": DATA["label_set"], "n": "1"},
    "/v1/datasets/{": {"id": DATA["dataset"]},
    "/v1/training-jobs/{": {"id": DATA["training"]},
    "/v1/evaluations/{": {"id": DATA["evaluation"], "file": "report.json"},
    "/v1/calibrations/{": {"name": DATA["calibration"], "file": "reliability.png"},
    "/v1/models/{": {"name": DATA["model"], "n": "1", "alias": "production", "file": "card.json"},
    "/v1/batches/{": {"id": DATA["batch"]},
    "/v1/feedback/{": {"id": DATA["feedback"]},
    "/v1/jobs/{": {"id": DATA["explanation"], "file": "attention.png"},
}
_SPARE: dict[str, list[str]] = {operation: ["none-is-left", *names] for operation, names in DATA["spare"].items()}
_numbers = itertools.count(1)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if _fits(case, ParameterLocation.PATH):
        case.path_parameters = case.path_parameters | _names(case)
    if _fits(case, ParameterLocation.HEADER):
        _settle_headers(case)
    if _fits(case, ParameterLocation.QUERY):
        _settle_query(case)
    table = (case.method, case.path, case.media_type) == ("POST", "/v1/feedback/import", "text/csv")
    if table and _fits(case, ParameterLocation.BODY):
        case.body = f"video,label\n{DATA['video']},a cat\n"  # a schema cannot say what a table needs
    if not isinstance(case.body, dict):
        if (case.method, case.path) == ("POST", "/v1/batches") and _fits(case, ParameterLocation.BODY):
            case.body = Binary(_MANIFEST)
            case.meta.clear_dirty(ParameterLocation.BODY)
        return
    settle = _BODIES.get((case.method, case.path))
    if not _fits(case, ParameterLocation.BODY):
        _settle_wrong_lists(case)
    elif settle is not None:
        body = dict(case.body)
        settle(case, body)
        _put_body(case, body)


def _fits(case: Any, location: ParameterLocation) -> bool:
    """Whether this part of the request fits the document. An example of the document has one verdict for all parts."""
    if case.meta is None:
        return False
    return bool(case.meta.components.get(location, case.meta.generation).mode.is_positive)


def _follows_a_link(case: Any) -> bool:
    """A step of a stateful run takes its names from the answer before it."""
    return bool(case.meta.phase.name.value == "stateful")


def _draw(case: Any) -> int:
    """A number that depends on the request alone."""
    parts = (case.method, case.path, case.path_parameters, case.query, case.body)
    return zlib.crc32(repr(parts).encode(errors="replace"))


def _names(case: Any) -> dict[str, str]:
    """Names that exist, for three of four requests; a spare one where the request would change what others need."""
    prefix = next((prefix for prefix in _NAMES if case.path.startswith(prefix)), None)
    if prefix is None:
        return {}
    known = {name: value for name, value in _NAMES[prefix].items() if name in case.path_parameters}
    names = {} if _follows_a_link(case) or _draw(case) % 4 == 0 else known
    first, spare = next(iter(known)), _SPARE.get(f"{case.method} {case.path}")
    if spare and (case.path_parameters | names)[first].partition(":")[0] == known[first]:
        names = names | {first: spare.pop() if len(spare) > 1 else spare[0]}
    return names


def _settle_headers(case: Any) -> None:
    """A key that stands for this request; a wait that is short, because workers are paused; a condition on entity tags
    for every fourth request, because hardly any of them holds."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{os.getpid()}-{next(_numbers)}"
    if 0 < len(case.headers.get("Webhook-URL", "")) <= MAX_URL_CHARS:  # no secret is set, and no host can be reached
        del case.headers["Webhook-URL"]
    if "wait=" in case.headers.get("Prefer", ""):
        case.headers["Prefer"] = "wait=1"
    if _draw(case) % 4:
        for name in ("If-Match", "If-None-Match"):
            case.headers.pop(name, None)


def _settle_query(case: Any) -> None:
    query = dict(case.query or {})
    query.pop("cursor", None)  # only a page before gives one
    if (case.method, case.path) == ("POST", "/v1/models"):  # the name is needed, in the query or in a form
        if _is_form(case):
            query.pop("name", None)
        else:
            query["name"] = _new_model(query.get("name", "imported"))
    if (case.method, case.path) == ("POST", "/v1/batches"):  # the question is in the query, or in the body
        if isinstance(case.body, dict):
            query = {}
        else:
            _question(case, query)
    if query != case.query:
        case.query = query


def _settle_wrong_lists(case: Any) -> None:
    """A form writes a list of one item like the item, so it cannot send what is no list. It sends another wrong value:
    an item that is too long."""
    wrong = {name for name in _LISTS if name in case.body and not isinstance(case.body[name], list)}
    if wrong and _is_form(case):
        case.body = case.body | {name: ["x" * 6000] for name in wrong}


def _put_body(case: Any, body: dict[str, Any]) -> None:
    """Change the body. What it is by the schema is judged again, except for a file, which JSON cannot hold."""
    if body == case.body:
        return
    meta = case.meta
    case.body = body
    if any(isinstance(value, Binary) for value in body.values()):
        meta.clear_dirty(ParameterLocation.BODY)


def _is_form(case: Any) -> bool:
    return bool(case.media_type == "multipart/form-data")


def _one_source(case: Any, body: dict[str, Any]) -> None:
    """Exactly one video, and no URL, which would be fetched. `oneOf` could say so, but breaks generators of clients."""
    _drop_sources(body)
    if _draw(case) % 3 == 0:
        body["video_id"] = DATA["video"]
    else:
        _bring(case, body, CLIP)


def _keep(case: Any, body: dict[str, Any]) -> None:
    """In a sequence a new video: if it was there already depended on the sequences before. In a form a tag that begins
    with a bracket is read as JSON."""
    _one_source(case, body)
    if body.get("tags") is not None:
        body["tags"] = [_text(tag[:40], number) for number, tag in enumerate(body["tags"])]
    if _follows_a_link(case):
        _drop_sources(body)
        _bring(case, body, _another_clip())


def _drop_sources(body: dict[str, Any]) -> None:
    for name in ("video", "video_url", "url", "base64", "video_id"):
        body.pop(name, None)


def _bring(case: Any, body: dict[str, Any], clip: bytes) -> None:
    if _is_form(case):
        body["video"] = Binary(clip)
    else:
        body["base64"] = base64.b64encode(clip).decode()


def _another_clip() -> bytes:
    """Bytes behind the end of a container change nothing but the id."""
    return CLIP + f"{os.getpid()} {next(_numbers)}".encode()


def _question(case: Any, body: dict[str, Any]) -> None:
    """Labels from one place; limits that settings lower; a model that is there."""
    if body.pop("label_set", None) is not None and _draw(case) % 2:
        body.pop("labels", None)
        body["label_set"] = DATA["label_set"]
    else:
        body["labels"] = _labels(body.get("labels"), form=_is_form(case) or not isinstance(case.body, dict))
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
    _question(case, body)


def _batch(case: Any, body: dict[str, Any]) -> None:
    """A few videos, which need not be there: each has an error of its own."""
    _question(case, body)
    if "items" in body:
        body["items"] = body["items"][:5]
    if "manifest" in body:
        body["manifest"] = Binary(_MANIFEST)


def _explain(case: Any, body: dict[str, Any]) -> None:
    """A question, and one of its labels."""
    _question(case, body)
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
    if _draw(case) % 3 == 0:
        body["video_id"] = DATA["video"]
        del body["text"]
    _settle_templates(body)
    _settle_options(body)


def _index(case: Any, body: dict[str, Any]) -> None:
    _settle_options(body)


def _feedback(case: Any, body: dict[str, Any]) -> None:
    """About a video that is there and an answer that is known; a label that may be chosen; no span that is empty."""
    for name in ("job", "labels", "start", "end"):
        body.pop(name, None)
    body |= {"video": DATA["video"], "label": _text(body.get("label") or "a cat", 0)}
    if body.get("model") is not None:
        body["model"] = "tiny"
    if _draw(case) % 3 == 0:
        body |= {"start": 0.0, "end": 0.5, "labels": [body["label"], "a dog"]}
    if _follows_a_link(case):  # of its own, because other sequences may delete what they share
        body |= {"start": os.getpid() % 1000 * 1e-4 + next(_numbers) * 1e-7, "end": 0.5}


def _label_set(case: Any, body: dict[str, Any]) -> None:
    body["labels"] = _labels(body["labels"], form=False)
    _settle_templates(body)
    if _follows_a_link(case):
        body["description"] = f"new content, and so a new version: {os.getpid()} {next(_numbers)}"


def _alias(case: Any, body: dict[str, Any]) -> None:
    body["version"] = 1


def _shadow(case: Any, body: dict[str, Any]) -> None:
    body["version"] = 2


def _training(case: Any, body: dict[str, Any]) -> None:
    """A dataset that is there, and no options that exclude each other."""
    body |= {"name": _new_model(body["name"]), "dataset": DATA["dataset"], "base": "tiny"}
    for name in ("temporal_init", "text_inputs", "novel", "split_column"):  # for some heads, classifiers, datasets
        body.pop(name, None)
    method = body.get("method", "text4vis")
    if body.get("recipe", "default") not in METHOD_RECIPES[method]:
        body["recipe"] = METHOD_RECIPES[method][_draw(case) % len(METHOD_RECIPES[method])]
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
    body["name"] = _new_model(body["name"])


def _new_model(name: str) -> str:
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


_BODIES: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("POST", "/v1/classify"): _classify,
    ("POST", "/v1/videos"): _keep,
    ("POST", "/v1/videos/{id}/classify"): _question,
    ("POST", "/v1/videos/{id}/timeline"): _question,
    ("POST", "/v1/videos/{id}/explain"): _explain,
    ("POST", "/v1/batches"): _batch,
    ("POST", "/v1/feedback"): _feedback,
    ("POST", "/v1/search"): _search,
    ("POST", "/v1/search/index"): _index,
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
