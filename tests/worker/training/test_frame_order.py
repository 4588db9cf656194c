"""Where only the order of frames tells the classes apart: the transformer learns it, the mean cannot (method §20 #11).

Encoded clips, decode children, a whole session: `benchmarks/frame_order.py` in small.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.frame_order import MOMENTS, ORDERS, SIDE, Scene, Setting, measure
from benchmarks.scenes import encode
from models.sampling import Views
from tests.models.conftest import tiny_profile
from worker.clips import ClipReader, Sample
from worker.decode_pool import DecodePool

SMALL = Setting(labels=("a bar that sinks", "a bar that rises"), clips=192, scenes=40, epochs=12)


def test_what_a_model_sees_of_a_scene_is_the_same_in_every_order(tmp_path: Path) -> None:
    """Else the mean could win, and the benchmark would show nothing."""
    scene = Scene.draw(np.random.default_rng(0))
    samples = []
    for number, order in enumerate(ORDERS.values()):
        samples.append(Sample(tmp_path / f"{number}.mp4", number))
        encode(samples[-1].path, scene.frames(order))
    with DecodePool(1, 60.0, 1 << 30, 1 << 20, 60.0) as pool:
        reader = ClipReader(pool, tiny_profile(size=SIDE, short_side=SIDE), MOMENTS)
        seen = [frames[0] for _, frames in reader.views(samples, Views())]  # each [T, S, S, 3]
    pictures = [sorted(frame.tobytes() for frame in frames) for frames in seen]
    assert len(set(pictures[0])) == MOMENTS
    assert all(others == pictures[0] for others in pictures[1:])
    assert all(not np.array_equal(frames, seen[0]) for frames in seen[1:])


def test_the_transformer_learns_an_order_and_the_mean_cannot(tmp_path: Path) -> None:
    found = measure(tmp_path, SMALL, ("transformer", "mean"), seed=0)
    assert found["transformer"] >= 0.9
    assert abs(found["mean"] - 0.5) <= 0.05
