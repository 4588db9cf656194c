"""Near-synonyms and template sensitivity, on rows that can be drawn."""

from __future__ import annotations

import math

import torch

from models.classifier.likeness import DIFFERENT, near_pairs, near_threshold, template_sensitive


def unit(*degrees: float) -> torch.Tensor:
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def test_near_is_nearer_than_any_two_of_the_different_ones() -> None:
    threshold = near_threshold(unit(0, 30, 90))
    assert math.isclose(threshold, math.cos(math.radians(30)), abs_tol=1e-6)
    pairs = near_pairs(unit(0, 50, 10, 75), threshold)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2), (1, 3)]
    assert math.isclose(pairs[0].cosine, math.cos(math.radians(10)), abs_tol=1e-6)
    assert near_pairs(unit(0, 40, 80), threshold) == []


def test_the_rows_of_the_different_ones_stay_as_they_are() -> None:
    rows = unit(0, 30, 90)
    near_threshold(rows)
    torch.testing.assert_close(rows, unit(0, 30, 90))
    assert len(DIFFERENT) == len(set(DIFFERENT)) == 48


def test_a_label_that_another_template_moves_to_another_label() -> None:
    rows = unit(0, 40, 90)
    assert template_sensitive(rows, [unit(5, 45, 85)]) == []
    assert template_sensitive(rows, [unit(5, 45, 85), unit(0, 10, 60)]) == [(1, 0), (2, 1)]
