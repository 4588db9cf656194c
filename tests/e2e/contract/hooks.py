"""Hooks of schemathesis: they put names that exist into requests, and make true what a JSON schema cannot say.

A hook changes only what fits the document. A part of a request that schemathesis made unfit stays as it is.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import Binary

from core.uploads.targets import MAX_URL_CHARS
from tests.e2e.contract.bodies import BODIES, MANIFEST, choose_classes, new_model, question
from tests.e2e.contract.cases import CLIP, DATA, draw, fits, follows_a_link, is_form, numbers

# A file is a real video or bytes of no known kind; an empty file is refused, and no schema can say so.
schemathesis.openapi.format("binary", st.sampled_from([CLIP, b"\x00no file of any kind\xff"]))


@schemathesis.serializer("text/csv")
def write_table(_: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


_LISTS = ("labels", "templates", "texts", "classes")

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


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if fits(case, ParameterLocation.PATH):
        case.path_parameters = case.path_parameters | _names(case)
    if fits(case, ParameterLocation.HEADER):
        _settle_headers(case)
    if fits(case, ParameterLocation.QUERY):
        _settle_query(case)
    table = (case.method, case.path, case.media_type) == ("POST", "/v1/feedback/import", "text/csv")
    if table and fits(case, ParameterLocation.BODY):
        case.body = f"video,label\n{DATA['video']},a cat\n"  # a schema cannot say what a table needs
    if not isinstance(case.body, dict):
        if (case.method, case.path) == ("POST", "/v1/batches") and fits(case, ParameterLocation.BODY):
            case.body = Binary(MANIFEST)
            case.meta.clear_dirty(ParameterLocation.BODY)
        return
    settle = BODIES.get((case.method, case.path))
    if not fits(case, ParameterLocation.BODY):
        _settle_wrong_lists(case)
    elif settle is not None:
        body = dict(case.body)
        settle(case, body)
        _put_body(case, body)


def _names(case: Any) -> dict[str, str]:
    """Names that exist, for three of four requests; a spare one where the request would change what others need."""
    prefix = next((prefix for prefix in _NAMES if case.path.startswith(prefix)), None)
    if prefix is None:
        return {}
    known = {name: value for name, value in _NAMES[prefix].items() if name in case.path_parameters}
    names = {} if follows_a_link(case) or draw(case) % 4 == 0 else known
    first, spare = next(iter(known)), _SPARE.get(f"{case.method} {case.path}")
    if spare and (case.path_parameters | names)[first].partition(":")[0] == known[first]:
        names = names | {first: spare.pop() if len(spare) > 1 else spare[0]}
    return names


def _settle_headers(case: Any) -> None:
    """A key that stands for this request; a wait that is short, because workers are paused; a condition on entity tags
    for every fourth request, because hardly any of them holds."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{os.getpid()}-{next(numbers)}"
    if 0 < len(case.headers.get("Webhook-URL", "")) <= MAX_URL_CHARS:  # no secret is set, and no host can be reached
        del case.headers["Webhook-URL"]
    if "wait=" in case.headers.get("Prefer", ""):
        case.headers["Prefer"] = "wait=1"
    if draw(case) % 4:
        for name in ("If-Match", "If-None-Match"):
            case.headers.pop(name, None)


def _settle_query(case: Any) -> None:
    query = dict(case.query or {})
    query.pop("cursor", None)  # only a page before gives one
    if (case.method, case.path) == ("POST", "/v1/models"):  # the name is needed, in the query or in a form
        if is_form(case):
            query.pop("name", None)
        else:
            query["name"] = new_model(query.get("name", "imported"))
        choose_classes(query)
    if (case.method, case.path) == ("POST", "/v1/batches"):  # the question is in the query, or in the body
        if isinstance(case.body, dict):
            query = {}
        else:
            question(case, query)
    if query != case.query:
        case.query = query


def _settle_wrong_lists(case: Any) -> None:
    """A form writes a list of one item like the item, so it cannot send what is no list. It sends another wrong value:
    an item that is too long."""
    wrong = {name for name in _LISTS if name in case.body and not isinstance(case.body[name], list)}
    if wrong and is_form(case):
        case.body = case.body | {name: ["x" * 6000] for name in wrong}


def _put_body(case: Any, body: dict[str, Any]) -> None:
    """Change the body. What it is by the schema is judged again, except for a file, which JSON cannot hold."""
    if body == case.body:
        return
    meta = case.meta
    case.body = body
    if any(isinstance(value, Binary) for value in body.values()):
        meta.clear_dirty(ParameterLocation.BODY)
