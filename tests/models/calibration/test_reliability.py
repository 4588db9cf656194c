"""Measures of probabilities, on answers that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration.reliability import Bin, auroc, coverage, expected_error, reliability


def test_the_diagram_and_its_error() -> None:
    probabilities, right = np.array([0.95, 0.95, 1.0, 0.31]), np.array([True, False, True, False])
    diagram = reliability(probabilities, right)
    low, high = diagram
    assert low == Bin(0.3, 0.4, 0.31, 0.0, 1)
    assert high.count == 3
    assert (high.right, high.claimed) == pytest.approx((2 / 3, 2.9 / 3))
    assert expected_error(diagram) == pytest.approx((3 * (2.9 - 2) / 3 + 0.31) / 4)
    assert expected_error(()) is None


def test_known_against_unknown() -> None:
    known = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.4, 0.5, 0.1]), known) == 0.75
    assert auroc(np.ones(4), known) == 0.5
    assert auroc(np.ones(4), np.ones(4, bool)) is None


def test_coverage_is_the_largest_share_that_keeps_the_precision() -> None:
    scores = np.linspace(1, 0.1, 10)
    right = np.array([False] + [True] * 9)  # the first answer alone is wrong, ten together are 90 % right
    share, threshold = coverage(scores, right)
    assert (share, threshold) == (1.0, scores[-1])
    assert coverage(scores, ~right) == (0.1, 1.0)
    second = np.array([True, False] + [True] * 8)  # one wrong answer does not end it
    assert coverage(scores, second)[0] == 1.0
    assert coverage(scores, np.zeros(10, bool)) == (0.0, None)


def test_equal_scores_are_answered_together() -> None:
    scores, right = np.array([0.5] * 10), np.array([True] * 5 + [False] * 5)
    assert coverage(scores, right) == (0.0, None)
