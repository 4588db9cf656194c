"""The order of clips is the same, with the same crops, however the work is divided."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.training.run.order import Order, Pick

orders = st.builds(
    Order,
    clips=st.integers(1, 40),
    repeats=st.integers(1, 3),
    batch=st.integers(1, 16),
    micro=st.integers(1, 5),
    seed=st.integers(0, 5),
)


def picked(order: Order, step: int) -> list[Pick]:
    return [pick for micro in next(order.steps(step, step + 1)) for pick in micro]


@given(orders)
def test_an_epoch_shows_every_clip_as_often_as_requested(order: Order) -> None:
    seen = Counter(pick.clip for step in range(order.per_epoch) for pick in picked(order, step))
    assert seen == dict.fromkeys(range(order.clips), order.repeats)


@given(orders, st.integers(2, 4))
def test_processes_share_a_batch_and_have_equally_many_micro_batches(order: Order, world: int) -> None:
    parts = [Order(order.clips, order.repeats, order.batch, order.micro, order.seed, r, world) for r in range(world)]
    for step in range(min(order.per_epoch, 4)):
        whole = {(pick.clip, pick.seed) for pick in picked(order, step)}
        shares = [list(next(part.steps(step, step + 1))) for part in parts]
        real = [(p.clip, p.seed) for share in shares for micro in share for p in micro if p.weight]
        assert sorted(real) == sorted(whole)
        assert len(real) == order.size(step)
        assert len({len(share) for share in shares}) == 1


@given(orders, st.integers(0, 30))
def test_a_resumed_run_goes_through_the_same_clips(order: Order, first: int) -> None:
    last = first + order.per_epoch
    from_start = list(order.steps(0, last))
    assert list(order.steps(first, last)) == from_start[first:]


@given(orders)
def test_micro_batches_change_nothing(order: Order) -> None:
    other = Order(order.clips, order.repeats, order.batch, order.micro + 3, order.seed)
    assert picked(order, 0) == picked(other, 0)


def test_epochs_differ_and_so_do_the_crops_of_one_clip() -> None:
    order = Order(clips=12, repeats=1, batch=12, micro=12, seed=0)
    first, second = picked(order, 0), picked(order, 1)
    assert [pick.clip for pick in first] != [pick.clip for pick in second]
    assert not {pick.seed for pick in first} & {pick.seed for pick in second}
