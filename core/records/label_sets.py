"""Label sets that are stored under a name."""

from __future__ import annotations

from core.questions import Label
from core.records.base import Record


class LabelSet(Record):
    """One immutable version of a named label set."""

    name: str
    version: int
    labels: tuple[Label, ...]
    templates: tuple[str, ...] | None = None
    description: str | None = None
    created_at: float
