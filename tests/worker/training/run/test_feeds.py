"""Micro-batches: which clip has which label, weight and draw, with clips that cannot be decoded among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from models.image.pixels import normalised
from tests.models.conftest import CPU, tiny_base, tiny_profile
from worker.decoding.dataset_clips import Batch, ClipReader, Sample
from worker.training.run.feeds import FrameFeed, TrunkFeed, precompute_trunk
from worker.training.run.order import Pick

FRAMES, SIZE = 2, 32
PROFILE = tiny_profile(frames=FRAMES)
SAMPLES = [Sample(Path(f"clip{number}"), label=number % 3) for number in range(5)]


class Frames:
    """A stand-in for ClipReader without decoding: the frames of clip n have the level 10 · n."""

    def __init__(self, damaged: Sequence[int] = ()) -> None:
        self.damaged = {f"clip{number}" for number in damaged}
        self.read: list[Sample] = []

    def batches(self, plan: Iterable[Sequence[Sample]]) -> Iterator[Batch]:
        for group in plan:
            self.read += group
            whole = [place for place, sample in enumerate(group) if sample.path.name not in self.damaged]
            levels = np.array([10 * int(group[place].path.name[4:]) for place in whole], np.uint8)
            frames = np.broadcast_to(levels.reshape(-1, 1, 1, 1, 1), (len(whole), FRAMES, SIZE, SIZE, 3)).copy()
            labels = np.array([group[place].label for place in whole], np.int64)
            yield Batch(frames, labels, np.array(whole, np.int64), ())


def reader(damaged: Sequence[int] = ()) -> tuple[Frames, ClipReader]:
    frames = Frames(damaged)
    return frames, cast("ClipReader", frames)


def picks(*clips: int, filler: int | None = None) -> list[Pick]:
    return [Pick(clip, 100 + clip, 1.0) for clip in clips] + ([] if filler is None else [Pick(filler, 0, 0.0)])


def test_frames_come_with_their_labels_weights_and_draws() -> None:
    frames, source = reader()
    first, second = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([picks(3, 1), picks(4, filler=2)])
    assert [(sample.path.name, sample.seed) for sample in frames.read] == [
        ("clip3", 103),
        ("clip1", 101),
        ("clip4", 104),
        ("clip2", 0),
    ]
    assert first.x.shape == (2, FRAMES, 3, SIZE, SIZE)
    expected = normalised(torch.full((1, SIZE, SIZE, 3), 30, dtype=torch.uint8), PROFILE, CPU)[0]  # clip 3
    torch.testing.assert_close(first.x[0, 1], expected)
    assert (first.targets.tolist(), first.weights.tolist()) == ([0, 1], [1.0, 1.0])
    assert (second.targets.tolist(), second.weights.tolist()) == ([1, 2], [1.0, 0.0])


def test_a_clip_that_cannot_be_decoded_takes_neither_the_label_nor_the_weight_of_another() -> None:
    (batch,) = FrameFeed(reader([3])[1], SAMPLES, PROFILE, CPU).stream([picks(3, 1, filler=2)])
    assert (len(batch.x), batch.targets.tolist(), batch.weights.tolist()) == (2, [1, 2], [1.0, 0.0])


def test_a_batch_of_nothing_is_a_clip_without_weight() -> None:
    lost, kept = FrameFeed(reader([0, 1])[1], SAMPLES, PROFILE, CPU).stream([picks(0, 1), picks(2)])
    assert (lost.x.shape, lost.weights.tolist()) == ((1, FRAMES, 3, SIZE, SIZE), [0.0])
    assert (kept.targets.tolist(), kept.weights.tolist()) == ([2], [1.0])


def trunk_feed(damaged: Sequence[int] = ()) -> tuple[TrunkFeed, list[torch.Tensor]]:
    """The feed, and what the trunk gives for each clip alone."""
    model = tiny_base().video_model("mean")
    feed = precompute_trunk(model, reader(damaged)[1], SAMPLES, PROFILE, CPU)
    alone = [
        normalised(torch.full((FRAMES, SIZE, SIZE, 3), 10 * clip, dtype=torch.uint8), PROFILE, CPU) for clip in range(5)
    ]
    with torch.no_grad():
        return feed, [model.trunk(pixels.unsqueeze(0))[0] for pixels in alone]


def test_outputs_of_the_trunk_are_those_of_their_clips_and_need_no_gradient() -> None:
    feed, alone = trunk_feed(damaged=[1])
    (batch,) = feed.stream([picks(4, 1, 0, filler=2)])
    for place, clip in ((0, 4), (2, 0), (3, 2)):
        torch.testing.assert_close(batch.x[place], alone[clip], rtol=1e-4, atol=1e-5)
        assert batch.targets[place] == SAMPLES[clip].label
    assert batch.weights.tolist() == [1.0, 0.0, 1.0, 0.0]  # clip 1 cannot be decoded
    assert not batch.x.requires_grad


def test_a_subset_has_its_own_labels_and_leaves_those_of_the_whole() -> None:
    feed, alone = trunk_feed(damaged=[1])
    subset = feed.subset([4, 1, 2], [7, 8, 9])
    (batch,) = subset.stream([picks(2, 1, 0)])
    torch.testing.assert_close(batch.x[0], alone[2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(batch.x[2], alone[4], rtol=1e-4, atol=1e-5)
    assert (batch.targets[[0, 2]].tolist(), batch.weights.tolist()) == ([9, 7], [1.0, 0.0, 1.0])
    (whole,) = feed.stream([picks(2, 4)])
    assert whole.targets.tolist() == [SAMPLES[2].label, SAMPLES[4].label]
