"""A run none of whose clips can be decoded ends with an error in words, however it reads them (T10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import TrainingFailed
from tests.clips import SPECS, render
from tests.models.conftest import tiny_profile
from tests.worker.training.fit.test_loop import CPU, LOSS, config, parts
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.feeds import FrameFeed, precompute_trunk
from worker.training.run.order import Order, Pick
from worker.training.run.stop import Stop

FRAMES = 4
PROFILE = tiny_profile(frames=FRAMES)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, 30.0, 2 << 30, 1 << 24, 60.0) as pool:
        yield pool


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Five files that are no videos, of two classes."""
    folder = tmp_path_factory.mktemp("clips")
    found = [Sample(folder / f"{number}.mp4", number % 2) for number in range(5)]
    for sample in found:
        sample.path.write_bytes(b"this is no video")
    return found


def fit(pool: DecodePool, samples: list[Sample], state: State, epochs: float = 3.0) -> None:
    """Three steps in an epoch."""
    settings = config(batch=2, micro=1, temporal="mean")
    settings = replace(settings, recipe=replace(settings.recipe, epochs=epochs, warmup_epochs=0.0))
    feed = FrameFeed(ClipReader(pool, PROFILE, FRAMES), samples, PROFILE, CPU)
    order = Order(len(samples), 1, settings.batch, settings.micro, 0)
    fit_encoder(settings, *parts("mean"), LOSS, feed, order, state, CPU, Stop(), lambda *_: None)


@pytest.mark.parametrize(("epochs", "steps"), [(3.0, 2), (0.4, 0)])
def test_a_run_on_frames_ends_after_an_epoch_without_a_clip(
    pool: DecodePool, samples: list[Sample], epochs: float, steps: int
) -> None:
    state = State()
    with pytest.raises(TrainingFailed, match="None of the 5 clips to train on could be decoded"):
        fit(pool, samples, state, epochs)
    assert state.step == steps


def test_a_run_on_the_outputs_of_a_trunk_ends_before_the_first_step(pool: DecodePool, samples: list[Sample]) -> None:
    with pytest.raises(TrainingFailed, match="None of the 5 clips to train on could be decoded"):
        precompute_trunk(parts("mean")[0], ClipReader(pool, PROFILE, FRAMES), samples, PROFILE, CPU)


def test_one_clip_that_can_be_decoded_is_enough(pool: DecodePool, samples: list[Sample], tmp_path: Path) -> None:
    plain = replace(SPECS["h264"], frames=12, content="bars", matrix="bt709")
    some = [*samples[:4], Sample(render(tmp_path / "clip.mp4", plain), 1)]
    state = State()
    fit(pool, some, state)
    assert state.step == 9
    feed = precompute_trunk(parts("mean")[0], ClipReader(pool, PROFILE, FRAMES), some, PROFILE, CPU)
    (batch,) = feed.stream([[Pick(clip, 0, 1.0) for clip in range(5)]])
    assert batch.weights.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
