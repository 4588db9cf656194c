"""The paired bootstrap: the same clips, and what chance does to their difference."""

from __future__ import annotations

import json

import pytest

from core.comparison.paired import compare_hits, read_hits


def hits(right: int, wrong: int) -> dict[str, bool]:
    return {str(number): number < right for number in range(right + wrong)}


@pytest.mark.parametrize(
    ("candidate", "standing", "verdict"),
    [
        (hits(90, 10), hits(60, 40), "better"),
        (hits(60, 40), hits(90, 10), "worse"),
        (hits(8, 2), hits(7, 3), "cannot_be_told_apart"),
        (hits(50, 50), hits(50, 50), "cannot_be_told_apart"),
    ],
)
def test_a_difference_counts_beyond_its_interval_only(
    candidate: dict[str, bool], standing: dict[str, bool], verdict: str
) -> None:
    found = compare_hits("a:2", candidate, "a:1", standing)
    assert found is not None
    assert found["verdict"] == verdict
    assert found["interval"][0] <= found["gain"] <= found["interval"][1]
    assert found["sentence"].startswith("a:2 ")


def test_the_interval_is_that_of_paired_differences() -> None:
    """20 of 100 gained, none lost: the standard error is that of a share of 20 %, not that of two samples."""
    found = compare_hits("a", hits(70, 30), "b", hits(50, 50))
    assert found is not None
    assert found["interval"] == pytest.approx([0.2 - 1.96 * 0.04, 0.2 + 1.96 * 0.04], abs=0.01)


def test_clips_that_one_of_them_did_not_judge_do_not_count() -> None:
    found = compare_hits("a", {"1": True, "2": True}, "b", {"2": False, "3": True})
    assert found is not None
    assert (found["clips"], found["gain"]) == (1, 1.0)
    assert compare_hits("a", {"1": True}, "b", {"2": True}) is None


def test_predictions_are_read_by_clip() -> None:
    lines = [
        {"clip": "1", "view": "1x1", "true": "jump", "given": "jump", "before": "run", "score": 1.0},
        {"clip": "1", "view": "4x3", "true": "jump", "given": "run", "score": 1.0},
        {"clip": "2", "view": "1x1", "true": "jump", "given": "run", "score": 1.0},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    assert read_hits(text) == {"1": True, "2": False}
    assert read_hits(text, of="before") == {"1": False}
