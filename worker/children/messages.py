"""What a child process tells the worker: one JSON object per line on its standard output."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal, TypedDict, cast

MessageName = Literal["progress", "metric", "log", "checkpoint", "ready", "result", "error", "gpu_memory"]


class Message(TypedDict):
    name: MessageName
    data: dict[str, Any]


def send_message(name: MessageName, **data: Any) -> None:
    sys.stdout.write(json.dumps({"name": name, "data": data}) + "\n")
    sys.stdout.flush()


def parse_message(line: str) -> Message | None:
    """None for any other line: a library may print too."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return cast(Message, message) if isinstance(message, dict) and {"name", "data"} == set(message) else None
