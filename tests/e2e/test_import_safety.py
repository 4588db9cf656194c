"""Vireo imports its own modules, whatever lies in the directory from which it is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher import sample_clip
from tests.e2e.stack import running

PACKAGES = ("core", "models", "models/lite", "service", "client", "launcher", "vireo", "celery", "PIL")
MODULES = ("worker", "redis", "torch", "numpy", "av", "pydantic", "queue", "random")
TRAP = """
import pathlib
here = pathlib.Path(__file__)
with open(here.parents[{depth}] / "imported.log", "a") as log:
    log.write(f"{{here}}\\n")
raise RuntimeError(f"{{here}} was imported from the current directory")
"""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A directory of packages and modules that record that they were imported, and then raise."""
    directory = tmp_path / "trap"
    for package in PACKAGES:
        (directory / package).mkdir(parents=True)
        (directory / package / "__init__.py").write_text(TRAP.format(depth=package.count("/") + 1))
    for module in MODULES:
        (directory / f"{module}.py").write_text(TRAP.format(depth=0))
    return directory


@pytest.mark.timeout(300)  # it assembles `lite` first, as on a bare machine
def test_vireo_answers_when_started_beside_modules_with_the_same_names(tmp_path: Path, trap: Path) -> None:
    clip = tmp_path / "clip.mp4"
    sample_clip.write_sample(clip)
    with running(tmp_path / "data", directory=trap) as started, started.http() as http:
        with clip.open("rb") as file:
            answer = http.post("/v1/classify", data={"labels": json.dumps(sample_clip.LABELS)}, files={"video": file})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["label"] == sample_clip.ANSWER
    assert not (trap / "imported.log").exists(), (trap / "imported.log").read_text()
