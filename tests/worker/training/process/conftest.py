"""What the tests of whole runs share: a decode pool, a data directory with the tiny CLIP, and rendered clips."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.datasets import ClassCount, Dataset, Item
from core.settings import Settings
from tests import tiny
from tests.clips import SPECS, render
from tests.worker.training.process.runs import LABELS
from worker.decoding.pool import DecodePool
from worker.training.result import plots

DRAW = plots.to_png


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Reports without pictures, whose drawing takes a third of a short run. The tests of the pictures draw them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "to_png", lambda _: b"not drawn")
        yield


@pytest.fixture
def drawn(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "to_png", DRAW)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(2, 30.0, 2 << 30, 1 << 24, 60.0) as pool:
        yield pool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with the tiny model, and `clips/` by content."""
    home = tmp_path_factory.mktemp("home")
    tiny.place(home)
    tiny.place(home, "tiny-rn", tiny.RESNET)
    (home / "clips").mkdir()
    return home


@pytest.fixture(autouse=True)
def nothing_kept(home: Path) -> None:
    """A test that counts passes begins without features of others."""
    shutil.rmtree(Settings(data_dir=home).features_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def dataset(home: Path) -> Dataset:
    items = []
    for number in range(16):
        label = LABELS[number % 4]
        spec = replace(SPECS["h264"], frames=12 + number, content="bars" if number % 2 else "index", matrix="bt709")
        clip = render(home / f"{number}.mp4", spec)
        sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
        clip.rename(home / "clips" / sha256)
        split = "val" if number >= 12 else "train"
        items.append(Item(path=f"{label}/{number}.mp4", sha256=sha256, label=label, split=split, seconds=0.5))
    return Dataset(
        id="ds_" + "0" * 24,
        digest="0" * 64,
        name="scenes",
        created_at=time.time(),
        classes=tuple(ClassCount(name=label, train=3, val=1) for label in LABELS),
        splits={"train": 12, "val": 4, "test": 0},
        split_source="given",
        seconds=8.0,
        bytes=1,
        report=(),
        items=tuple(items),
    )
