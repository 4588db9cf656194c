"""The figure to quote: of the judged clips if they are many, cross-validated if they are few."""

from __future__ import annotations

import numpy as np
import pytest

from core.results import HeadEstimate, Headline, PreviewResult
from worker.training.judging.scored import Scored
from worker.training.result.headline import headline


def scored(right: int, clips: int) -> Scored:
    hits = np.arange(clips) < right
    probabilities = np.stack([hits, ~hits], axis=1).astype(np.float32)
    return Scored([str(clip) for clip in range(clips)], np.zeros(clips, np.int64), probabilities)


def preview(gain: list[float]) -> PreviewResult:
    heads: list[HeadEstimate] = [
        {"name": "zero_shot", "top1": 0.5, "error": 0.05, "interval": [0.4, 0.6], "note": None},
        {"name": "default", "top1": 0.6, "error": 0.05, "interval": [0.5, 0.7], "note": None},
    ]
    return PreviewResult(
        dataset="ds_0",
        base="lite",
        judged_clips=40,
        classes=["a", "b"],
        shots=20,
        heads=heads,
        gain=gain,
        curve=[],
        cost={"features": 0.0, "closed_form": 0.0, "gradient": 0.0},
        tower=False,
        advice={"action": "train", "sentence": "Train.", "classes": [], "clips": []},
    )


def quoted(after: Scored, before: Scored | None, gain: list[float], *, closed_form: bool = True) -> Headline:
    found = headline(after, before, preview(gain), "val", closed_form=closed_form)
    assert found is not None
    return found


@pytest.mark.parametrize(("clips", "how"), [(40, "cross_validated"), (99, "cross_validated"), (100, "held_out")])
def test_few_clips_are_not_quoted(clips: int, how: str) -> None:
    found = quoted(scored(clips * 3 // 4, clips), scored(clips // 2, clips), [0.01, 0.2])
    assert found["how"] == how
    assert found["clips"] == (clips if how == "held_out" else 40)
    assert f"{found['interval'][0]:.0%}".rstrip("%") in found["sentence"]


@pytest.mark.parametrize(("gain", "told_apart"), [([0.1, 0.2], True), ([-0.1, 0.2], False), ([0.0, 0.2], False)])
@pytest.mark.parametrize("before", [None, scored(20, 40)])
def test_the_verdict_is_of_the_clips_that_are_quoted(
    before: Scored | None, gain: list[float], told_apart: bool
) -> None:
    found = quoted(scored(35, 40), before, gain)
    assert found["told_apart"] is told_apart
    assert ("the two cannot be told apart" in found["sentence"]) is not told_apart


def test_the_sign_test_says_what_the_judged_clips_tell_alone() -> None:
    same, better = (quoted(scored(right, 40), scored(20, 40), [0.1, 0.2]) for right in (21, 35))
    assert (
        "40 val clips are too few to quote: on them alone, before and after cannot be told apart." in same["sentence"]
    )
    assert "40 val clips are too few to quote." in better["sentence"]


@pytest.mark.parametrize(("right", "told_apart"), [(51, False), (80, True)])
def test_many_clips_are_told_apart_by_the_sign_test(right: int, told_apart: bool) -> None:
    found = quoted(scored(right, 100), scored(50, 100), [-0.1, 0.2])
    assert found["told_apart"] is told_apart
    assert ("cannot be told apart" in found["sentence"]) is not told_apart


def test_cross_validation_of_the_closed_form_is_not_quoted_for_the_loop() -> None:
    found = quoted(scored(35, 40), scored(20, 40), [0.1, 0.2], closed_form=False)
    assert (found["how"], found["top1"]) == ("held_out", 35 / 40)
    assert "The heads on frozen features reach 60 % by cross-validation." in found["sentence"]
