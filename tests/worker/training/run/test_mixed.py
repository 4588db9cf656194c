"""Mixed clips: whatever the micro-batches and the processes, each clip is mixed with the same partner."""

from __future__ import annotations

import pytest
import torch

from models.fitting.mixing import Mix, Mixing, draw_mix
from tests.models.conftest import CPU
from tests.worker.training.run.test_feeds import PROFILE, SAMPLES, SIZE, reader
from worker.training.run.feeds import FrameFeed, MicroBatch
from worker.training.run.order import Order, Pick


def order(micro: int = 4, rank: int = 0, world: int = 1) -> Order:
    return Order(5, 1, 5, micro, 0, rank, world, mixing=Mixing(), side=SIZE)


def seen(micro: int, world: int) -> dict[tuple[int, int], tuple[tuple[int, int] | None, Mix | None]]:
    """Of the first two steps: step and clip → its partner and how they are mixed."""
    found: dict[tuple[int, int], tuple[tuple[int, int] | None, Mix | None]] = {}
    for rank in range(world):
        for step, groups in enumerate(order(micro, rank, world).steps(0, 2)):
            picks = [pick for group in groups for pick in group]
            found |= {(step, pick.clip): (pick.partner, pick.mix) for pick in picks if pick.weight}
    return found


@pytest.mark.parametrize(("micro", "world"), [(1, 1), (2, 1), (3, 2), (2, 3)])
def test_partners_do_not_depend_on_micro_batches_and_processes(micro: int, world: int) -> None:
    assert seen(micro, world) == seen(5, 1)
    sizes = {
        len([pick for group in next(order(micro, rank, world).steps(0, 1)) for pick in group]) for rank in range(world)
    }
    assert len(sizes) == 1, "every process has as many forward passes"


def test_the_feed_blends_and_cuts_pixels_and_says_the_shares() -> None:
    """The frames of clip n have the level 10 · n."""
    blend, cut = Mix(0.25, None), Mix(0.75, (0, 0, SIZE // 2, SIZE // 2))
    for mix in (blend, cut):
        picks = [Pick(3, 1, 1.0, (1, 2), mix), Pick(1, 2, 1.0, (3, 1), mix)]
        frames, source = reader()
        plain = levels(picks)
        (whole,) = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([picks])
        assert len(frames.read) == 2, "a partner in the same micro-batch is decoded once"
        first, second = (stream([pick]) for pick in picks)
        assert whole.shares is not None
        assert whole.shares.tolist() == [mix.share, mix.share]
        assert whole.others is not None
        assert whole.others.tolist() == whole.targets.flip(0).tolist()
        torch.testing.assert_close(whole.x[0], first.x[0])
        torch.testing.assert_close(whole.x[1], second.x[0])
        corner, rest = whole.x[0, 0, 0, 0, 0], whole.x[0, 0, 0, -1, -1]
        if mix is blend:
            torch.testing.assert_close(corner, 0.25 * plain[3] + 0.75 * plain[1])
        else:
            torch.testing.assert_close(corner, plain[1])
            torch.testing.assert_close(rest, plain[3])


def levels(picks: list[Pick]) -> dict[int, torch.Tensor]:
    """The level of each clip, unmixed."""
    _, source = reader()
    (batch,) = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([[Pick(pick.clip, pick.seed, 1.0) for pick in picks]])
    return {pick.clip: batch.x[place, 0, 0, 0, 0] for place, pick in enumerate(picks)}


def stream(picks: list[Pick]) -> MicroBatch:
    _, source = reader()
    (batch,) = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([picks])
    return batch


def test_a_clip_whose_partner_cannot_be_decoded_stays_as_it_is() -> None:
    _, source = reader(damaged=[1])
    picks = [Pick(3, 1, 1.0, (1, 2), Mix(0.25, None))]
    (batch,) = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([picks])
    assert batch.shares is not None
    assert batch.shares.tolist() == [1.0]
    torch.testing.assert_close(batch.x[0, 0, 0, 0, 0], levels([Pick(3, 1, 1.0)])[3])


def test_a_partner_alone_is_no_clip_of_the_batch() -> None:
    _, source = reader(damaged=[3])
    picks = [Pick(3, 1, 1.0, (1, 2), Mix(0.25, None))]
    (batch,) = FrameFeed(source, SAMPLES, PROFILE, CPU).stream([picks])
    assert batch.weights.tolist() == [0.0]


def test_the_last_batch_is_left_out_where_the_recipe_says_so() -> None:
    assert Order(11, 1, 4, 4, 0, drop_last=True).per_epoch == 2
    assert Order(11, 1, 4, 4, 0).per_epoch == 3
    few = Order(3, 1, 4, 4, 0, drop_last=True)
    assert (few.per_epoch, few.size(0)) == (1, 3)


def test_two_steps_are_mixed_differently() -> None:
    first, second = (draw_mix(Mixing(), 0, step, SIZE) for step in range(2))
    assert first != second
