"""Turns: who asks for much does not keep the others waiting, and nobody's own order changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.jobs.turns import Turns


def added(*work: tuple[str, float]) -> Turns[str]:
    """Items named after their asker and number."""
    turns, numbers = Turns[str](), dict[str, int]()
    for asker, cost in work:
        numbers[asker] = numbers.get(asker, 0) + 1
        turns.add(f"{asker}{numbers[asker]}", asker, cost)
    return turns


def taken(turns: Turns[str], count: int) -> list[str]:
    return [turns.take() for _ in range(count)]


def test_who_comes_late_with_little_is_next() -> None:
    turns = added(*[("much", 1.0)] * 8)
    assert taken(turns, 3) == ["much1", "much2", "much3"]
    turns.add("little", "little", 1.0)
    assert turns.next == "little"
    assert taken(turns, 3) == ["little", "much4", "much5"]


def test_costs_count_and_not_numbers() -> None:
    assert taken(added(("large", 4.0), ("large", 4.0), *[("small", 1.0)] * 6), 8) == [
        "large1", "small1", "small2", "small3", "small4", "large2", "small5", "small6",
    ]  # fmt: skip


def test_nobody_saves_turns_up_for_later() -> None:
    """An asker that was away has no claim to what others got meanwhile."""
    turns = added(("one", 1.0), *[("other", 1.0)] * 20)
    taken(turns, 15)
    for number in range(4):
        turns.add(f"back{number}", "one", 1.0)
    assert taken(turns, 4) == ["back0", "other15", "back1", "other16"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 10)), max_size=40))
def test_each_asker_is_served_in_its_own_order_and_nothing_is_lost(work: list[tuple[str, float]]) -> None:
    served = taken(added(*work), len(work))
    for asker in "abc":
        own = [item for item in served if item[0] == asker]
        assert own == [f"{asker}{number + 1}" for number in range(sum(each == asker for each, _ in work))]


def test_askers_that_have_gone_are_forgotten() -> None:
    turns = Turns[int]()
    for number in range(100):
        turns.add(number, str(number), 1.0)
        turns.take()
    assert len(turns._ends) <= 1
    with pytest.raises(IndexError):
        turns.take()
