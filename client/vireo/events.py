"""A job's events, parsed from a stream of server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

FINAL_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Event:
    """`event`: `state`, `progress`, `metric`, `checkpoint` or `log`; `data`: see docs/api.md for its form."""

    id: str
    event: str
    data: Any

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, and no other event follows."""
        return self.event == "state" and self.data in FINAL_STATES


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """The complete events in `lines`; an event that was cut off is dropped."""
    fields: dict[str, str] = {}
    for line in lines:
        if line == "":
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
