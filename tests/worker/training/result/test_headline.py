"""The figure to quote: of the judged clips if they are many, cross-validated if they are few."""

from __future__ import annotations

import numpy as np
import pytest

from core.results import HeadEstimate, PreviewResult
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


@pytest.mark.parametrize(("clips", "how"), [(40, "cross_validated"), (99, "cross_validated"), (100, "held_out")])
def test_few_clips_are_not_quoted(clips: int, how: str) -> None:
    found = headline(scored(clips * 3 // 4, clips), scored(clips // 2, clips), preview([0.01, 0.2]), "val")
    assert found is not None
    assert found["how"] == how
    assert found["clips"] == (clips if how == "held_out" else 40)
    assert f"{found['interval'][0]:.0%}".rstrip("%") in found["sentence"]


def test_the_sign_test_says_whether_before_and_after_can_be_told_apart() -> None:
    same, better = (
        headline(scored(21, 40), scored(20, 40), preview([0.1, 0.2]), "val"),
        headline(scored(35, 40), scored(20, 40), preview([-0.1, 0.2]), "val"),
    )
    assert same is not None
    assert better is not None
    assert (same["told_apart"], better["told_apart"]) == (False, True)
    assert "cannot be told apart" in same["sentence"]
    assert "cannot be told apart" not in better["sentence"]


def test_without_numbers_before_training_cross_validation_decides() -> None:
    apart, not_apart = (headline(scored(21, 40), None, preview(gain), "val") for gain in ([0.1, 0.2], [-0.1, 0.2]))
    assert apart is not None
    assert not_apart is not None
    assert (apart["told_apart"], not_apart["told_apart"]) == (True, False)
