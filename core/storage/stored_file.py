"""A file of a store, as a listing shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredFile:
    bytes: int
    modified: float
    """Unix seconds."""
    stamp: str
    """Tells this content of its key from another one."""
