from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.training.judging.measures import (
    Scored,
    base_to_novel,
    compare,
    correlation,
    evaluate,
    half_class,
    measure,
    wilson,
)

ABC = ["a", "b", "c"]


def scored(labels: Sequence[int], given: Sequence[int], classes: int = 3, ids: Sequence[str] | None = None) -> Scored:
    """Clips that were given those classes, with 0.6 and the rest shared."""
    probabilities = np.full((len(labels), classes), 0.4 / (classes - 1))
    probabilities[np.arange(len(labels)), np.array(given, np.int64)] = 0.6
    return Scored(ids or [f"{place}.mp4" for place in range(len(labels))], np.array(labels, np.int64), probabilities)


def test_the_numbers_of_six_clips_by_hand() -> None:
    # a: 3 of 4 right, b: 0 of 1 (taken for a), c: 1 of 1
    done = evaluate({"1x1": scored([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 0, 2])}, ABC)
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


def test_a_class_without_clips_says_nothing_and_counts_in_no_mean() -> None:
    done = evaluate({"1x1": scored([0, 0, 1, 1], [0, 0, 1, 0])}, ABC)
    assert done["per_class"][2] == {"name": "c", "support": 0, "accuracy": None, "ap": None, "confused_with": None}
    assert done["views"]["1x1"]["mean_class_accuracy"] == 0.75


def test_one_clip() -> None:
    done = evaluate({"1x1": scored([1], [1])}, ABC)
    low, high = done["views"]["1x1"]["top1_interval"]
    assert done["views"]["1x1"]["top1"] == 1.0
    assert (round(low, 3), high) == (0.207, 1.0)


def test_no_clip_is_no_view() -> None:
    done = evaluate({"1x1": scored([], [])}, ABC)
    assert done["views"] == {}
    assert [row["support"] for row in done["per_class"]] == [0, 0, 0]
    assert done["confusion"] == [[0, 0, 0]] * 3
    assert done["mistakes"] == []


@pytest.mark.parametrize("classes", [2, 400])
def test_few_and_many_classes(classes: int) -> None:
    names = [str(number) for number in range(classes)]
    labels = list(range(classes)) * 2
    done = evaluate({"1x1": scored(labels, labels, classes)}, names)
    assert done["views"]["1x1"]["top5_k"] == min(5, classes)
    assert all(row["accuracy"] == row["ap"] == 1.0 for row in done["per_class"])
    json.dumps(done, allow_nan=False)


def test_the_tables_are_those_of_the_single_view() -> None:
    multi, single = scored([0, 1], [0, 1]), scored([0, 1], [1, 1])
    done = evaluate({"4x3": multi, "1x1": single}, ABC)
    assert done["confusion"][0][1] == 1
    assert (done["views"]["4x3"]["top1"], done["views"]["1x1"]["top1"]) == (1.0, 0.5)
    assert evaluate({"4x3": multi}, ABC)["confusion"][0][0] == 1


def test_a_clip_that_was_scored_twice_counts_once() -> None:
    padded = scored([0, 1, 0], [0, 0, 1], ids=["x.mp4", "y.mp4", "x.mp4"])
    assert measure(padded.once())["clips"] == 2
    assert evaluate({"1x1": padded}, ABC)["views"]["1x1"]["top1"] == 0.5


def test_mistakes_come_surest_first() -> None:
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2], [0.7, 0.3]])
    done = evaluate({"1x1": Scored(["w", "x", "y", "z"], np.array([0, 0, 1, 0]), probabilities)}, ["no", "yes"])
    assert [(row["clip"], row["true"], row["given"]) for row in done["mistakes"]] == [
        ("x", "no", "yes"),
        ("y", "yes", "no"),
        ("w", "no", "yes"),
    ]


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([0], [[0.5, 0.5], [0.5, 0.5]]), ([2], [[0.5, 0.5]]), ([-1], [[0.5, 0.5]]), ([0], [[float("nan"), 0.5]])],
)
def test_scores_that_do_not_fit_are_refused(labels: list[int], probabilities: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"clips|label|number"):
        Scored(["a.mp4"], np.array(labels), np.array(probabilities))


def test_what_training_gained_and_lost() -> None:
    before = scored([0] * 10, [1] * 8 + [0] * 2)
    after = scored([0] * 10, [0] * 8 + [0, 1])
    done = compare(before, after)
    assert done is not None
    assert (done["gained"], done["lost"]) == (8, 1)
    assert done["chance"] == pytest.approx(2 * (1 + 9) / 2**9)
    assert done["metrics"]["top1"] == 0.2


def test_clips_are_compared_by_their_name_and_only_where_both_have_them() -> None:
    before = scored([0, 0, 1], [0, 1, 1], ids=["x", "y", "only before"])
    after = scored([1, 0, 0], [0, 0, 0], ids=["only after", "y", "x"])
    done = compare(before, after)
    assert done is not None
    assert (done["gained"], done["lost"], done["chance"]) == (1, 0, 1.0)
    assert compare(scored([], []), after) is None


def test_the_cost_for_other_labels_is_measured_in_each_label_space() -> None:
    base = (scored([0, 1, 2, 2], [0, 0, 0, 2]), scored([0, 1, 2, 2], [0, 1, 2, 2]))
    novel = (scored([0, 1], [0, 1], 2), scored([0, 1], [0, 0], 2))
    done = base_to_novel(base, novel, ABC, ["d", "e"])
    assert done is not None
    assert done["before"] == {"base": 0.5, "novel": 1.0, "harmonic_mean": pytest.approx(2 / 3)}
    assert done["after"] == {"base": 1.0, "novel": 0.5, "harmonic_mean": pytest.approx(2 / 3)}
    assert (done["base_clips"], done["novel_clips"]) == (4, 2)
    assert base_to_novel(base, (scored([], [], 2), scored([], [], 2)), ABC, ["d", "e"]) is None


def test_halves_of_the_classes() -> None:
    right = half_class(scored([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 5))
    assert [len(split["classes"]) for split in right["splits"]] == [2] * 10
    assert [split["seed"] for split in right["splits"]] == list(range(10))
    assert right["top1"] == {"mean": 1.0, "std": 0.0}
    json.dumps(right, allow_nan=False)


def test_the_correlation_of_rows_is_their_cosine_whatever_their_length() -> None:
    rows = np.array([[3.0, 0.0], [0.0, 0.1], [5.0, 5.0], [-1.0, 0.0], [0.0, 0.0]])
    assert correlation(rows) == [
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
    assert wilson(hits, clips) == pytest.approx((low, high), abs=6e-4)


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_share_and_narrows(clips: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, clips))
    low, high = wilson(hits, clips)
    assert 0 <= low <= hits / clips <= high <= 1
    tenfold = wilson(10 * hits, 10 * clips)
    assert tenfold[1] - tenfold[0] < high - low
