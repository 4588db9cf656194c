"""Validates bodies and turns pydantic's errors into ours: what is wrong, in which field, and similar field names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rapidfuzz import process

from core.errors import InvalidLabels, InvalidRequest

BodyT = TypeVar("BodyT", bound=BaseModel)
"""The pydantic model of a body."""

MOST_ERRORS = 10  # in the details; the message is about the first one
_COMPARED = 100  # characters of a name; comparing a name of a megabyte would take seconds


def similar_names(name: str, known: Iterable[str], score: float = 55.0) -> list[str]:
    """Up to three known names that resemble `name`, the most similar first. `score`: lowest similarity, 0 to 100."""
    return [match for match, _, _ in process.extract(name[:_COMPARED], list(known), limit=3, score_cutoff=score)]


def validate_body(model: type[BodyT], data: Mapping[str, Any]) -> BodyT:
    """Raises: InvalidRequest, InvalidLabels; at the first unknown field, where pydantic would list all of them."""
    known = {field.alias or name: field for name, field in model.model_fields.items()}
    unknown = next((name for name in data if name not in known), None)
    if unknown is not None:
        raise unknown_field(unknown, known)
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise _with_nearest(explain(found, known), found[0], data) from None


def unknown_field(name: str, known: Iterable[str]) -> InvalidRequest:
    known = sorted(known)
    close = similar_names(name, known)
    return InvalidRequest(
        f"There is no field {name[:80]!r}." + (f" Did you mean {close[0]!r}?" if close else ""),
        hint=f"Known fields: {', '.join(known)}.",
        field=name[:200],
        nearest=close,
    )


def explain(errors: Sequence[Mapping[str, Any]], known: Iterable[str] = ()) -> InvalidRequest:
    """The error for what pydantic found. `known`: the fields that the body may have."""
    first = errors[0]
    message = f"{_where(first['loc'])}: {_words(first)}."
    if first["loc"] and first["loc"][0] == "labels":
        index = next((part for part in first["loc"] if isinstance(part, int)), None)
        return InvalidLabels(
            message, hint='A label is a string, or {"name": …, "prompts": […]}.', field="labels", index=index
        )
    found = [{"field": _where(e["loc"]), "message": _words(e)} for e in errors[:MOST_ERRORS]]
    return InvalidRequest(message, hint=_description(first["loc"], known), field=_where(first["loc"]), errors=found)


def _with_nearest(error: InvalidRequest, first: Mapping[str, Any], data: Mapping[str, Any]) -> InvalidRequest:
    """For an unknown name where only some are allowed: which of them resemble it."""
    if first["type"] == "literal_error" and isinstance(value := _at(first["loc"], data), str):
        allowed = re.findall(r"'([^']+)'", first["ctx"]["expected"])
        error.details["nearest"] = similar_names(value, allowed) or allowed[:3]
    return error


def _at(loc: Sequence[str | int], data: Any) -> Any:
    """What the body has there; None if nothing."""
    for part in loc:
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data


def _description(loc: Sequence[str | int], known: Iterable[str]) -> str | None:
    """The description of the field, which is the best hint for a value that does not fit."""
    if isinstance(known, Mapping) and loc and isinstance(field := known.get(loc[0]), FieldInfo):
        return field.description
    return None


def _where(loc: Sequence[str | int]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "too_long":
        return "at most {max_length} items are allowed".format(**error["ctx"])
    text: str = error["msg"]
    return text[:1].lower() + text[1:].rstrip(".")
