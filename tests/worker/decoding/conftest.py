from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import render_slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def slow(folder: Path) -> Path:
    """A clip that keeps a decoder busy for many seconds."""
    return render_slow(folder / "slow.webm")
