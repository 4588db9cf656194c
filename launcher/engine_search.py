"""`vireo doctor --engine`: the search for the engine of a model, in the foreground and without a running service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from core.processes import python_module
from core.settings import Settings

_PROGRAM = "worker.inference.loading.engine_search"


def search_engine(settings: Settings, model: str | None, clips: Path | None, say: Callable[[str], object]) -> bool:
    """model: None for the default model; clips: a folder of videos to check engines on; say: gets a sentence about each
    step, the last of which is the result. Returns whether an engine was found."""
    order = {"name": model, "settings": settings.model_dump(mode="json"), "clips": str(clips) if clips else None}
    with subprocess.Popen(
        python_module(_PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps(order))  # not as an argument: the settings hold passwords
        child.stdin.close()
        for line in child.stdout:
            say(line.strip())
    return child.returncode == 0
