"""If only the order of frames tells the classes apart, the transformer learns it and the mean cannot (method §20 #11).

The test uses encoded clips, decode children and a whole run. It takes longer to learn the order for scenes that were
not trained on; `benchmarks/frame_order.py` shows that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.frame_order import MOMENTS, ORDERS, POOL, SIDE, Scene, describe, top1, write
from benchmarks.scenes import encode
from core.datasets import Dataset
from core.vocabulary import TemporalKind
from models.frames.sampling import Views
from tests.models.conftest import tiny_profile
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(*POOL) as pool:
        yield pool


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Eight scenes, each of them rising and sinking, to train on and to evaluate on."""
    (tmp_path / "clips").mkdir()
    rng = np.random.default_rng(0)
    scenes = [Scene.draw(rng) for _ in range(8)]
    labels = ("a bar that rises", "a bar that sinks")
    train = tuple(write(tmp_path / "clips", scene, label, "train") for scene in scenes for label in labels)
    return describe((*train, *(item.model_copy(update={"split": "val"}) for item in train)))


def test_every_order_of_a_scene_has_the_same_frames(tmp_path: Path, pool: DecodePool) -> None:
    """Otherwise the mean could win too, and the test would show nothing."""
    scene = Scene.draw(np.random.default_rng(0))
    samples = []
    for number, order in enumerate(ORDERS.values()):
        samples.append(Sample(tmp_path / f"{number}.mp4", number))
        encode(samples[-1].path, scene.frames(order))
    reader = ClipReader(pool, tiny_profile(size=SIDE, short_side=SIDE), MOMENTS)
    seen = [frames[0] for _, frames in reader.views(samples, Views())]  # each [T, S, S, 3]
    pictures = [sorted(frame.tobytes() for frame in frames) for frames in seen]
    assert len(set(pictures[0])) == MOMENTS
    assert all(others == pictures[0] for others in pictures[1:])
    assert all(not np.array_equal(frames, seen[0]) for frames in seen[1:])


@pytest.mark.parametrize(("head", "right", "epochs"), [("transformer", 1.0, 80), ("mean", 0.5, 20)])
def test_only_the_transformer_learns_an_order(
    head: TemporalKind, right: float, epochs: int, tmp_path: Path, pool: DecodePool, dataset: Dataset
) -> None:
    assert top1(dataset, tmp_path, pool, head, epochs=epochs, seed=0) == right
