"""A copy as a new user starts it: with an empty data directory, so it assembles `lite` first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transcripts import README, difference, replay, transcripts

from tests.e2e.stack import Stack, running

PACKAGES = ("core", "models", "models/lite", "service", "client", "launcher", "vireo", "celery", "PIL")
MODULES = ("worker", "redis", "torch", "numpy", "av", "pydantic", "queue", "random")
TRAP = """
import pathlib
here = pathlib.Path(__file__)
with open(here.parents[{depth}] / "imported.log", "a") as log:
    log.write(f"{{here}}\\n")
raise RuntimeError(f"{{here}} was imported from the current directory")
"""


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of packages and modules that record that they were imported, and then raise."""
    directory = tmp_path_factory.mktemp("trap")
    for package in PACKAGES:
        (directory / package).mkdir(parents=True)
        (directory / package / "__init__.py").write_text(TRAP.format(depth=package.count("/") + 1))
    for module in MODULES:
        (directory / f"{module}.py").write_text(TRAP.format(depth=0))
    return directory


@pytest.fixture(scope="module")
def stack(trap: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("new") / "data", directory=trap) as stack:
        yield stack


@pytest.fixture(scope="module")
def replayed(stack: Stack) -> str:
    """The README with what its commands print on a new copy: it shows what the caches of one hold."""
    return replay(_readme(), stack.url, slow=False, on_path=False)


def _readme() -> str:
    return README.read_text(encoding="utf-8")


def test_the_transcripts_of_the_readme_are_fresh(replayed: str) -> None:
    assert sum(len(found.commands) for found in transcripts(_readme()) if not found.is_slow) >= 5
    assert difference(_readme(), replayed, slow=False) == "", "run `make transcripts`"


@pytest.mark.usefixtures("replayed")
def test_vireo_imports_its_own_modules_when_started_beside_others_with_the_same_names(trap: Path) -> None:
    """The README's commands have classified a video, so every process of the copy has imported what it needs."""
    assert not (trap / "imported.log").exists(), (trap / "imported.log").read_text()
