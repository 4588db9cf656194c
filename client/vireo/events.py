"""Server-sent events, read line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Event:
    """`event`: `state`, `progress`, `metric`, `checkpoint` or `log`; `data`: as docs/api.md describes it."""

    id: str
    event: str
    data: Any

    @property
    def ends(self) -> bool:
        return self.event == "state" and self.data in FINAL


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """An event that was cut off is not yielded."""
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
