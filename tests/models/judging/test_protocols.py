from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judging.protocols import (
    ClassSplit,
    base_to_novel,
    frequent_half,
    half_class,
    harmonic_mean,
    leave_out,
    restrict,
    spread,
)

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(9, size=300)
SCORES = GENERATOR.normal(size=(300, 9)) + 2 * np.eye(9)[LABELS]


def test_ten_halves_are_drawn_as_by_the_seeded_global_generator() -> None:
    """Method §11: seed numpy with s = 0 … 9, permute the C classes, keep the first C // 2, sorted."""
    measured = half_class(SCORES, LABELS)
    assert [half["seed"] for half in measured["splits"]] == list(range(10))
    for half in measured["splits"]:
        np.random.seed(half["seed"])
        kept = sorted(np.random.permutation(9)[: 9 // 2].tolist())
        assert half["classes"] == kept
        inside = np.isin(LABELS, kept)
        best = np.array(kept)[SCORES[inside][:, kept].argmax(axis=1)]
        assert half["clips"] == inside.sum()
        assert half["top1"] == pytest.approx((best == LABELS[inside]).mean())


def test_the_deviation_is_the_population_deviation() -> None:
    measured = half_class(SCORES, LABELS)
    values = [half["top1"] for half in measured["splits"]]
    assert measured["top1"]["mean"] == pytest.approx(sum(values) / 10)
    squares = [(value - measured["top1"]["mean"]) ** 2 for value in values]
    assert measured["top1"]["std"] == pytest.approx(math.sqrt(sum(squares) / 10))
    assert spread([1.0, 3.0]) == {"mean": 2.0, "std": 1.0}


def test_a_perfect_model_has_ten_perfect_halves() -> None:
    measured = half_class(np.eye(5), np.arange(5))
    assert [len(half["classes"]) for half in measured["splits"]] == [2] * 10
    assert [half["seed"] for half in measured["splits"]] == list(range(10))
    assert measured["top1"] == {"mean": 1.0, "std": 0.0}
    json.dumps(measured, allow_nan=False)


def test_only_classes_that_occur_are_drawn() -> None:
    present = LABELS < 6
    measured = half_class(SCORES[present], LABELS[present])
    assert {label for half in measured["splits"] for label in half["classes"]} <= set(range(6))
    assert {len(half["classes"]) for half in measured["splits"]} == {3}


def test_halves_of_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="four classes"):
        half_class(SCORES[LABELS < 3], LABELS[LABELS < 3])


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


@pytest.mark.parametrize(("classes", "base", "novel"), [(51, 26, 25), (101, 51, 50), (174, 87, 87), (400, 200, 200)])
def test_the_more_frequent_half_is_base(classes: int, base: int, novel: int) -> None:
    """P2 §3; sizes of HMDB-51, UCF-101, SSv2 and Kinetics-400."""
    clips = {f"class {index:03}": index + 1 for index in range(classes)}
    split = frequent_half(clips)
    assert (len(split.base), len(split.novel)) == (base, novel)
    assert min(clips[name] for name in split.base) > max(clips[name] for name in split.novel)


def test_equally_frequent_classes_are_split_by_name() -> None:
    assert frequent_half({"d": 1, "a": 1, "c": 1, "b": 1}) == ClassSplit(base=("a", "b"), novel=("d", "c"))


@given(seed=st.integers(0, 1000), order=st.permutations([f"label {index}" for index in range(10)]))
def test_a_share_is_drawn_with_the_seed_whatever_the_order(seed: int, order: list[str]) -> None:
    split = leave_out(order, 0.3, seed)
    assert len(split.novel) == 3
    assert set(split.novel) == set(leave_out(sorted(order), 0.3, seed).novel)
    assert [name for name in order if name in split.base] == list(split.base)


def test_named_classes_are_left_out() -> None:
    assert leave_out(["a", "b", "c", "d"], ["d", "a"], 0) == ClassSplit(base=("b", "c"), novel=("a", "d"))


@pytest.mark.parametrize(
    ("novel", "message"), [(("x", "a"), "'x'"), (0.01, "each side"), (0.9, "each side"), (("a",), "each")]
)
def test_unusable_splits_are_refused(novel: float | tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        leave_out(["a", "b", "c", "d", "e"], novel, 0)
