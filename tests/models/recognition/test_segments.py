"""Segments by hysteresis: where they begin and end, and that labels compete."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.frames.arrays import FloatArray
from models.recognition.segments import Run, find_segments, softmax


def scores(*first: float) -> FloatArray:
    """Scores of two labels, of which the first is given; a third takes an equal part of the rest."""
    rows = [(value, (1 - value) / 2, (1 - value) / 2) for value in first]
    return np.array(rows)


def test_a_segment_goes_on_to_both_sides_down_to_leave() -> None:
    found = find_segments(scores(0.1, 0.3, 0.6, 0.4, 0.3, 0.2, 0.3, 0.1), enter=0.5, leave=0.25)
    assert found == [Run(0, 1, 4)]


def test_a_score_that_never_reaches_enter_makes_no_segment() -> None:
    assert find_segments(scores(0.4, 0.49, 0.4), enter=0.5, leave=0.25) == []


def test_a_dip_above_leave_does_not_cut_a_segment_and_one_below_does() -> None:
    assert find_segments(scores(0.8, 0.3, 0.8), enter=0.5, leave=0.25) == [Run(0, 0, 2)]
    assert find_segments(scores(0.8, 0.2, 0.8), enter=0.5, leave=0.25) == [Run(0, 0, 0), Run(0, 2, 2)]


def test_another_label_that_reaches_enter_takes_over() -> None:
    found = find_segments(np.array([[0.9, 0.1], [0.45, 0.55], [0.1, 0.9], [0.55, 0.45]]), enter=0.5, leave=0.25)
    assert found == [Run(0, 0, 0), Run(1, 1, 2), Run(0, 3, 3)]


def test_a_single_label_has_no_segment() -> None:
    assert find_segments(np.ones((5, 1)), enter=0.5, leave=0.25) == []


def test_softmax_is_that_of_the_scores() -> None:
    found = softmax(np.array([[0.3, 0.1]], dtype=np.float32), scale=10.0)
    assert found[0].tolist() == pytest.approx([np.exp(2) / (np.exp(2) + 1), 1 / (np.exp(2) + 1)], abs=1e-6)
    assert softmax(np.array([[1.0, -1.0]]), scale=1e4)[0].tolist() == [1.0, 0.0]  # no overflow


@given(
    arrays(np.float64, (12, 3), elements=st.floats(-0.3, 0.3)),
    st.floats(0.3, 1.0),
    st.floats(0.0, 1.0),
)
def test_segments_are_in_order_and_each_has_a_point_at_enter(cosines: FloatArray, enter: float, share: float) -> None:
    values = softmax(cosines, 20.0)
    leave = enter * share
    found = find_segments(values, enter, leave)
    for run, following in pairwise(found):
        assert run.last < following.first
        assert run.label != following.label or run.last + 1 < following.first  # neighbours of one label are merged
    for run in found:
        inside = values[run.first : run.last + 1, run.label]
        assert inside.max() >= enter
        assert inside.min() >= leave
    held = {point for run in found for point in range(run.first, run.last + 1)}
    assert {int(point) for point in np.flatnonzero(values.max(axis=1) >= enter)} <= held
