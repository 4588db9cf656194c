"""Turns JSON into dataclasses. What a newer server adds stands in `raw` only; what an older one lacks is None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

ResultT = TypeVar("ResultT", bound="Result")

_Reader = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Base of everything that the server answers."""

    raw: dict[str, Any] = field(repr=False, compare=False)
    """the JSON object as it was sent"""

    @classmethod
    def read(cls, raw: Any) -> Self:
        """The object that `raw`, a JSON object, describes. It never fails: a value of another kind stays as it is."""
        found = raw if isinstance(raw, dict) else {}
        readers = _readers(cls)  # type: ignore[arg-type]  # mypy takes the class for unhashable
        return cls(raw=found, **{name: read(found.get(name)) for name, read in readers.items()})


@cache
def _readers(kind: type[Result]) -> dict[str, _Reader]:
    hints = get_type_hints(kind)
    return {each.name: _reader(hints[each.name]) for each in fields(kind) if each.name != "raw"}


def _reader(hint: Any) -> _Reader:
    if isinstance(hint, type) and issubclass(hint, Result):
        return lambda value: hint.read(value) if isinstance(value, dict) else value
    arguments = get_args(hint)
    if get_origin(hint) is list:
        read = _reader(arguments[0])
        return lambda value: [read(each) for each in value] if isinstance(value, list) else value
    if get_origin(hint) is dict:
        read = _reader(arguments[1])
        return lambda value: {name: read(each) for name, each in value.items()} if isinstance(value, dict) else value
    if isinstance(hint, UnionType):
        return next((_reader(each) for each in arguments if each is not NoneType), _as_it_is)
    if hint is float:
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
