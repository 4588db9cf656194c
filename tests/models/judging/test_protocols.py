from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judging.protocols import base_to_novel, harmonic_mean, restrict


def test_restricting_keeps_the_clips_and_columns_of_the_kept_classes() -> None:
    scores, labels = restrict(np.arange(12.0).reshape(4, 3), np.array([0, 1, 2, 2]), [2, 0])
    assert scores.tolist() == [[2, 0], [8, 6], [11, 9]]
    assert labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("base", "novel", "expected"),
    [(76.4, 61.1, 67.9), (73.8, 53.3, 61.9), (92.9, 67.7, 78.3), (16.2, 12.1, 13.9), (0, 0, 0), (1, 0, 0)],
)
def test_the_harmonic_mean_gives_the_published_rows(base: float, novel: float, expected: float) -> None:
    """ViFi-CLIP's base-to-novel table (method §12); its printed sides are rounded themselves."""
    assert harmonic_mean(base, novel) == pytest.approx(expected, abs=0.06)


@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_the_harmonic_mean_lies_between_and_below_the_arithmetic(a: float, b: float) -> None:
    assert min(a, b) - 1e-12 <= harmonic_mean(a, b) <= (a + b) / 2 + 1e-12


def test_base_and_novel_compete_among_themselves() -> None:
    scores = np.array([[1.0, 0, 9, 9], [0, 1, 9, 9], [9, 9, 1, 0], [9, 9, 1, 0]])
    labels = np.array([0, 1, 2, 3])
    measured = base_to_novel(*restrict(scores, labels, [0, 1]), *restrict(scores, labels, [2, 3]))
    assert (measured["base"], measured["novel"]) == (1.0, 0.5)
    assert measured["harmonic_mean"] == pytest.approx(2 / 3)


def test_a_side_without_clips_is_unknown() -> None:
    scores, labels = np.eye(4)[:2], np.array([0, 1])
    measured = base_to_novel(*restrict(scores, labels, [0, 1]), *restrict(scores, labels, [2, 3]))
    assert measured["base"] == 1.0
    assert math.isnan(measured["novel"])
    assert math.isnan(measured["harmonic_mean"])
