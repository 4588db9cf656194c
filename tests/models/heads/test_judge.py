"""Cross-validation of heads, and the curve over clips per class."""

from __future__ import annotations

import math

import pytest
import torch

from models.heads.blend import own_scores
from models.heads.curve import learning_curve
from models.heads.folds import stratified_folds
from models.heads.judge import estimate, judge_heads
from tests.models.heads.conftest import Clouds, clouds


def test_each_clip_is_left_out_once_per_repeat_and_never_fitted_on_then() -> None:
    labels = torch.tensor([0] * 7 + [1] * 3 + [2])
    times = torch.zeros(11)
    for fitted, out in stratified_folds(labels, 4):
        assert not set(fitted.tolist()) & set(out.tolist())
        assert sorted([*fitted.tolist(), *out.tolist()]) == list(range(11))
        assert set(labels[fitted].tolist()) == {0, 1, 2}
        times[out] += 1
    assert times.tolist() == [4.0] * 10 + [0.0]  # the only clip of its class is always fitted on


def test_noise_is_judged_as_chance_and_signal_is_not() -> None:
    noise, signal = clouds(20, spread=50.0), clouds(20)
    for made, expected in ((noise, 1 / 3), (signal, 1.0)):
        found = judge_heads(made.features, own_scores(made.videos, made.rows), made.labels)
        for name in ("ncm", "ridge", "lda", "default"):
            judged = estimate(found.hits[name])
            assert judged is not None
            assert judged.mean == pytest.approx(expected, abs=0.15), name
            assert judged.interval[0] <= judged.mean <= judged.interval[1]
            assert judged.clips == 60


def test_with_one_clip_per_class_only_nothing_is_judged() -> None:
    made = clouds(1)
    found = judge_heads(made.features, own_scores(made.videos, made.rows), made.labels)
    assert list(found.hits) == ["zero_shot"]
    assert estimate(found.hits["zero_shot"]) is None
    assert found.sharpness is None
    assert learning_curve(made.features, own_scores(made.videos, made.rows), made.labels) == ()


def test_the_curve_is_measured_up_to_the_clips_and_predicted_beyond(made: Clouds) -> None:
    hard = clouds(20, spread=4.0)
    points = learning_curve(hard.features, own_scores(hard.videos, hard.rows), hard.labels)
    measured = [point for point in points if point.measured]
    assert [point.shots for point in measured] == [1, 2, 3, 4, 6, 8, 12, 16]
    assert [point.shots for point in points if not point.measured] == [20, 40, 80]
    assert measured[-1].mean > measured[0].mean + 0.1
    ahead = [point.mean for point in points if not point.measured]
    assert ahead == sorted(ahead)
    assert all(point.low <= point.mean <= point.high and math.isfinite(point.mean) for point in points)
