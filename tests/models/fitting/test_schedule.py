from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fitting.schedule import fractional_epoch, lr_at

GOLDEN = {0: 0.0, 2.5: 2.5e-5, 5: 5e-5, 17.5: 2.5e-5, 30: 0.0}  # method §8: base 5e-5, warm-up 5, total 30


@pytest.mark.parametrize(("epoch", "expected"), GOLDEN.items())
def test_the_golden_rates(epoch: float, expected: float) -> None:
    assert lr_at(epoch, base=5e-5, warmup=5, total=30) == pytest.approx(expected, rel=1e-12, abs=1e-20)


def test_the_rate_in_the_log_of_text4vis() -> None:
    """Epoch 0, iteration 10 of 940: 9.57e-8 = 5e-5 · (9 / 940) / 5."""
    rate = lr_at(fractional_epoch(0, 9, 940, every=10), base=5e-5, warmup=5, total=30)
    assert rate == pytest.approx(9.57e-8, rel=1e-3)


def test_the_paper_s_minimal_rate_is_where_the_cosine_ends() -> None:
    assert lr_at(30, base=5e-5, warmup=5, total=30, min_ratio=0.1) == pytest.approx(5e-6)
    assert lr_at(17.5, base=5e-5, warmup=5, total=30, min_ratio=0.1) == pytest.approx((5e-5 + 5e-6) / 2)
    assert lr_at(31, base=5e-5, warmup=5, total=30, min_ratio=0.1) == pytest.approx(5e-6)


def test_every_tenth_iteration_moves_the_rate() -> None:
    moved = [round(fractional_epoch(2, iteration, 30, every=10) * 30) - 60 for iteration in range(30)]
    assert moved == [0] * 9 + [9] * 10 + [19] * 10 + [29]
    assert [fractional_epoch(1, iteration, 4) for iteration in range(4)] == [1.0, 1.25, 1.5, 1.75]


def test_without_a_warm_up_the_first_rate_is_the_highest() -> None:
    assert lr_at(0, base=1.0, warmup=0, total=2) == 1.0


@pytest.mark.parametrize("warmup", [-1.0, 2.0, 3.0])
def test_a_warm_up_as_long_as_training_is_refused(warmup: float) -> None:
    with pytest.raises(ValueError, match="warm-up"):
        lr_at(0, base=1.0, warmup=warmup, total=2)


@given(
    epoch=st.floats(0, 40), total=st.floats(1, 30), share=st.floats(0, 0.9), floor=st.floats(0, 1), base=st.floats(0, 1)
)
def test_rates_stay_between_nothing_and_the_base(
    epoch: float, total: float, share: float, floor: float, base: float
) -> None:
    rate = lr_at(epoch, base=base, warmup=share * total, total=total, min_ratio=floor)
    assert 0 <= rate <= base * (1 + 1e-12)
    if epoch >= share * total:
        assert rate >= base * floor * (1 - 1e-12)
    assert math.isfinite(rate)
