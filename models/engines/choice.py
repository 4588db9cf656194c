"""What a preparation found, as it is kept in the data directory: one folder per model, one file per kind of machine."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, ValidationError

from core.vocabulary import EngineName
from models.engines.graph import GRAPH_FORMAT
from models.recognition.engine import LanePlan
from models.recognition.recognizer import Recognizer
from models.weights.digests import digest

_FORMAT: Literal[1] = 1
NAMES = "names"  # a folder with an empty file for each name of the model
FP32_GRAPH, INT8_GRAPH = "fp32.xml", "int8.xml"


class Candidate(BaseModel):
    """An engine that was looked at. ms_per_frame: CPU time; null if it was not measured."""

    model_config = ConfigDict(frozen=True)

    engine: EngineName
    precision: str
    ms_per_frame: float | None = None
    agreement: str | None = None
    problem: str | None = None


class Choice(BaseModel):
    """The engine that serves a model on a machine, and why."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = _FORMAT
    model: str
    engine: EngineName
    precision: str
    lanes: int
    threads: int
    batch: int
    candidates: tuple[Candidate, ...]

    @property
    def plan(self) -> LanePlan:
        return LanePlan(self.lanes, self.threads, self.batch)


def model_folder(data_dir: Path, recognizer: Recognizer) -> Path:
    """Where the graphs of a model are, and what was chosen. Another version of a package makes other graphs."""
    packages = [(name, _version(name)) for name in ("openvino", "nncf")]
    key = digest(GRAPH_FORMAT, recognizer.digest, recognizer.profile.vision_digest(), packages)
    return data_dir / "engines" / key[:32]


def choice_file(folder: Path, recognizer: Recognizer, wanted: str, cores: int) -> Path:
    """wanted: the setting. Another machine, precision or version of torch finds another engine the fastest."""
    machine = (_processor(), cores, str(recognizer.device), recognizer.precision, _version("torch"))
    return folder / f"choice-{digest(*machine, wanted)[:16]}.json"


def note_name(folder: Path, name: str) -> None:
    """Note that the graphs in `folder` are those of the model `name`. Equal weights may have several names."""
    (folder / NAMES).mkdir(parents=True, exist_ok=True)
    (folder / NAMES / quote(name, safe="")).touch()


def sweep(data_dir: Path, exists: Callable[[str], bool]) -> None:
    """Delete the graphs of deleted models: they are copies of their weights. exists: whether there is a model, by
    name. Raises: what `exists` raises, OSError."""
    for folder in (data_dir / "engines").glob("*"):
        for note in (folder / NAMES).glob("*"):
            if not exists(unquote(note.name)):
                note.unlink(missing_ok=True)
        if (folder / NAMES).is_dir() and not any((folder / NAMES).iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def remembered(file: Path) -> Choice | None:
    try:
        return Choice.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):  # of another release, or cut off: it is made again
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    """Its name and features. Raises nothing: an unknown processor has an empty one."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    lines = dict(re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", text, re.MULTILINE))
    return " ".join(lines.values())
