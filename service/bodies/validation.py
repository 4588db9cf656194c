"""From pydantic's words to ours: the first thing that is wrong, where it is, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rapidfuzz import process

from core.errors import InvalidLabels, InvalidRequest

BodyT = TypeVar("BodyT", bound=BaseModel)

MOST_ERRORS = 10  # listed in details; the first one is the message


def nearest(name: str, known: Iterable[str], score: float = 55.0) -> list[str]:
    """Up to three known names that look like `name`, the closest first."""
    return [match for match, _, _ in process.extract(name, list(known), limit=3, score_cutoff=score)]


def validate(model: type[BodyT], data: Mapping[str, Any]) -> BodyT:
    """Raises: InvalidRequest, InvalidLabels."""
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False), model.model_fields) from None


def unknown_field(name: str, known: Iterable[str]) -> InvalidRequest:
    known = sorted(known)
    close = nearest(name, known)
    return InvalidRequest(
        f"There is no field {name[:80]!r}." + (f" Was {close[0]!r} meant?" if close else ""),
        hint=f"Known fields: {', '.join(known)}.",
        field=name[:200],
        nearest=close,
    )


def explain(errors: Sequence[Mapping[str, Any]], known: Iterable[str] = ()) -> InvalidRequest:
    """The error for what pydantic found; `known`: fields that the body may have."""
    for error in errors:
        if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
            return unknown_field(str(error["loc"][0]), known)
    first = errors[0]
    message = f"{_where(first['loc'])}: {_lower(first['msg'])}."
    if first["loc"] and first["loc"][0] == "labels":
        index = next((part for part in first["loc"] if isinstance(part, int)), None)
        return InvalidLabels(
            message, hint='A label is a string, or {"name": …, "prompts": […]}.', field="labels", index=index
        )
    found = [{"field": _where(e["loc"]), "message": e["msg"]} for e in errors[:MOST_ERRORS]]
    return InvalidRequest(message, hint=_meaning(first["loc"], known), field=_where(first["loc"]), errors=found)


def _meaning(loc: Sequence[str | int], known: Iterable[str]) -> str | None:
    """What the field is for, where the model says so: the best help with a value that does not fit."""
    if isinstance(known, Mapping) and loc and isinstance(field := known.get(loc[0]), FieldInfo):
        return field.description
    return None


def _where(loc: Sequence[str | int]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
