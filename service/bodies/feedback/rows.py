"""What a file says, statement by statement, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.errors import InvalidRequest

MOST_ROWS: Final = 10_000
"""Tasks, or lines of a table, in one request."""


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


def check_size(statements: int) -> None:
    """Raises: InvalidRequest for more than one request may bring."""
    if statements > MOST_ROWS:
        raise InvalidRequest(
            f"The file has {statements} entries; at most {MOST_ROWS} are allowed.",
            hint="Split it; what is known already changes nothing when it comes again.",
            limit=MOST_ROWS,
        )
