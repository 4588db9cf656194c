"""What a file says, statement by statement, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.errors import InvalidRequest

MOST_LINES: Final = 10_000
"""Lines of a table in one request."""

MOST_TASKS: Final = 1000
"""Tasks in one request. Each is a record with many fields, and JSON costs more to read."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The span of a statement as Label Studio counts it: frames from 1, both included. fps: as the task says. region:
    the id of its region, which is that of the feedback where an export made it."""

    first: int
    last: int
    fps: float | None
    region: str


@dataclass(frozen=True, slots=True)
class ImportRow:
    """fields: those of `ImportedBody`, as they were read; frames: the span, where it is not in `fields`."""

    where: str
    fields: Mapping[str, Any]
    frames: Frames | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A statement that cannot be used, and why."""

    where: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """skipped: tasks that nobody has annotated."""

    rows: tuple[ImportRow | Unreadable, ...]
    skipped: int = 0


def check_size(entries: int, most: int) -> None:
    """Raises: InvalidRequest for more than one request may bring."""
    if entries > most:
        raise InvalidRequest(
            f"The file has {entries} entries; at most {most} are allowed.",
            hint="Split it, as `vireo feedback import` does.",
            limit=most,
        )
