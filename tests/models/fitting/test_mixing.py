"""Mixup and cutmix (method §12)."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.mixing import Mixing, draw_mix, partner_of

SIDE = 224


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    draws = [draw_mix(Mixing(), 3, step, SIDE) for step in range(50)]
    assert draws == [draw_mix(Mixing(), 3, step, SIDE) for step in range(50)]
    assert draws != [draw_mix(Mixing(), 4, step, SIDE) for step in range(50)]
    assert len({draw.share for draw in draws}) > 40


def test_half_of_the_batches_are_cut_and_half_blended_with_their_own_distributions() -> None:
    draws = [draw_mix(Mixing(), 0, step, SIDE) for step in range(4000)]
    cut = [draw for draw in draws if draw.box]
    assert len(cut) / len(draws) == pytest.approx(0.5, abs=0.03)
    blended = np.array([draw.share for draw in draws if not draw.box])
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 · (2 · 0.8 + 1))
    assert blended.mean() == pytest.approx(0.5, abs=0.02)
    assert blended.var() == pytest.approx(1 / (4 * 2.6), abs=0.01)
    only_cut = [draw_mix(Mixing(cutmix_share=1.0), 0, step, SIDE) for step in range(20)]
    assert all(draw.box for draw in only_cut)


def test_the_share_of_a_cut_is_the_area_that_is_left() -> None:
    for step in range(200):
        draw = draw_mix(Mixing(cutmix_share=1.0), 1, step, SIDE)
        assert draw.box is not None
        left, top, right, bottom = draw.box
        assert 0 <= left <= right <= SIDE
        assert 0 <= top <= bottom <= SIDE
        assert draw.share == pytest.approx(1 - (right - left) * (bottom - top) / SIDE**2)


def test_partners_are_pairs_and_the_last_of_an_odd_number_is_alone() -> None:
    assert [partner_of(at, 5) for at in range(5)] == [1, 0, 3, 2, 4]
