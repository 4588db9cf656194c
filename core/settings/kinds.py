"""Types and units that settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

GIB = 1 << 30


def _split(value: object) -> object:
    return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split_lower(value: object) -> object:
    return _split(value.lower()) if isinstance(value, str) else value


Prefixes = Annotated[frozenset[str], NoDecode, BeforeValidator(_split)]
Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_split_lower)]
"""Names whose letters are the same in both cases, such as those of hosts."""
