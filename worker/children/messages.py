"""What a training child says to the worker: one JSON object per line on its standard output."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal, TypedDict, cast

Name = Literal["progress", "metric", "log", "checkpoint", "ready", "result", "error"]


class Message(TypedDict):
    name: Name
    data: dict[str, Any]


def say(name: Name, **data: Any) -> None:
    sys.stdout.write(json.dumps({"name": name, "data": data}) + "\n")
    sys.stdout.flush()


def hear(line: str) -> Message | None:
    """None for a line that is not ours: a library may print."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return cast(Message, message) if isinstance(message, dict) and {"name", "data"} == set(message) else None
