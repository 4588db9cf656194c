from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.training.judging.scores import ABC, scored
from worker.training.judging.measures import evaluate_views, row_correlation, view_metrics, wilson_interval
from worker.training.judging.scored import Scored


def test_the_numbers_of_six_clips_by_hand() -> None:
    # a: 3 of 4 right, b: 0 of 1 (classified as a), c: 1 of 1
    done = evaluate_views({"1x1": scored([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 0, 2])}, ABC)
    view = done["views"]["1x1"]
    assert view["clips"] == 6
    assert view["top1"] == pytest.approx(4 / 6)
    assert view["top5"] == 1.0
    assert view["top5_k"] == 3
    assert view["mean_class_accuracy"] == pytest.approx((0.75 + 0 + 1) / 3)
    # a is ranked 4 clips (3 its own) before 2 that tie (1 its own); b: 1 (not it), then 5 that tie; c: first
    expected = [(3 / 4) * (3 / 4) + (1 / 4) * (4 / 6), 1 / 6, 1.0]
    assert [row["ap"] for row in done["per_class"]] == pytest.approx(expected)
    assert view["map"] == pytest.approx(sum(expected) / 3)
    assert done["confusion"] == [[3, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert [row["accuracy"] for row in done["per_class"]] == [0.75, 0.0, 1.0]
    assert [row["support"] for row in done["per_class"]] == [4, 1, 1]
    assert [row["confused_with"] for row in done["per_class"]] == [
        {"name": "b", "clips": 1},
        {"name": "a", "clips": 1},
        None,
    ]


def test_a_class_without_clips_has_no_numbers_and_counts_in_no_mean() -> None:
    done = evaluate_views({"1x1": scored([0, 0, 1, 1], [0, 0, 1, 0])}, ABC)
    assert done["per_class"][2] == {"name": "c", "support": 0, "accuracy": None, "ap": None, "confused_with": None}
    assert done["views"]["1x1"]["mean_class_accuracy"] == 0.75


def test_one_clip() -> None:
    done = evaluate_views({"1x1": scored([1], [1])}, ABC)
    low, high = done["views"]["1x1"]["top1_interval"]
    assert done["views"]["1x1"]["top1"] == 1.0
    assert (round(low, 3), high) == (0.207, 1.0)


def test_no_clip_is_no_view() -> None:
    done = evaluate_views({"1x1": scored([], [])}, ABC)
    assert done["views"] == {}
    assert [row["support"] for row in done["per_class"]] == [0, 0, 0]
    assert done["confusion"] == [[0, 0, 0]] * 3
    assert done["mistakes"] == []


@pytest.mark.parametrize("classes", [2, 400])
def test_few_and_many_classes(classes: int) -> None:
    names = [str(number) for number in range(classes)]
    labels = list(range(classes)) * 2
    done = evaluate_views({"1x1": scored(labels, labels, classes)}, names)
    assert done["views"]["1x1"]["top5_k"] == min(5, classes)
    assert all(row["accuracy"] == row["ap"] == 1.0 for row in done["per_class"])
    json.dumps(done, allow_nan=False)


def test_the_tables_are_those_of_the_single_view() -> None:
    multi, single = scored([0, 1], [0, 1]), scored([0, 1], [1, 1])
    done = evaluate_views({"4x3": multi, "1x1": single}, ABC)
    assert done["confusion"][0][1] == 1
    assert (done["views"]["4x3"]["top1"], done["views"]["1x1"]["top1"]) == (1.0, 0.5)
    assert evaluate_views({"4x3": multi}, ABC)["confusion"][0][0] == 1


def test_a_clip_that_was_scored_twice_counts_once() -> None:
    padded = scored([0, 1, 0], [0, 0, 1], ids=["x.mp4", "y.mp4", "x.mp4"])
    assert view_metrics(padded.without_duplicates())["clips"] == 2
    assert evaluate_views({"1x1": padded}, ABC)["views"]["1x1"]["top1"] == 0.5


def test_mistakes_with_the_highest_scores_come_first() -> None:
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2], [0.7, 0.3]])
    done = evaluate_views({"1x1": Scored(["w", "x", "y", "z"], np.array([0, 0, 1, 0]), probabilities)}, ["no", "yes"])
    assert [(row["clip"], row["true"], row["given"]) for row in done["mistakes"]] == [
        ("x", "no", "yes"),
        ("y", "yes", "no"),
        ("w", "no", "yes"),
    ]


def test_the_correlation_of_rows_is_their_cosine_at_any_length() -> None:
    rows = np.array([[3.0, 0.0], [0.0, 0.1], [5.0, 5.0], [-1.0, 0.0], [0.0, 0.0]])
    assert row_correlation(rows) == [
        [1.0, 0.0, 0.7071, -1.0, 0.0],
        [0.0, 1.0, 0.7071, 0.0, 0.0],
        [0.7071, 0.7071, 1.0, -0.7071, 0.0],
        [-1.0, 0.0, -0.7071, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("hits", "clips", "low", "high"),
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (8, 10, 0.490, 0.943), (50, 100, 0.404, 0.596)],  # Wilson 1927, tables
)
def test_wilson(hits: int, clips: int, low: float, high: float) -> None:
    assert wilson_interval(hits, clips) == pytest.approx((low, high), abs=6e-4)


@given(st.integers(1, 10_000), st.data())
def test_wilson_contains_the_share_and_narrows(clips: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, clips))
    low, high = wilson_interval(hits, clips)
    assert 0 <= low <= hits / clips <= high <= 1
    tenfold = wilson_interval(10 * hits, 10 * clips)
    assert tenfold[1] - tenfold[0] < high - low
