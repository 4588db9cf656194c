"""The environment of a child that reads untrusted bytes: what Python needs to start, and no secret of the worker's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from core.processes import SAFE_PATH

_PROJECT: Final = Path(__file__).resolve().parents[2]
_INHERITED: Final = ("PATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def child_environment(*names: str, project: Path = _PROJECT) -> dict[str, str]:
    """`names`: further variables that the child inherits; project: the folder that it imports the rooms from."""
    inherited = {name: os.environ[name] for name in (*_INHERITED, *names) if name in os.environ}
    return SAFE_PATH | {"PYTHONPATH": str(project)} | inherited
