"""The fit and its judgement, on similarities about which everything is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.calibration import judged
from models.calibration.judged import Reading, Seen, fit_clips, judge
from models.calibration.logistic import Logistic
from models.calibration.questions import draw_questions
from models.frames.arrays import IntArray
from tests.models.calibration.worlds import world


def test_questions_ask_about_the_own_label_every_second_time() -> None:
    seen = world(0.3)
    found = draw_questions(seen.labels, np.arange(len(seen.labels)), range(12), 12, np.random.default_rng(0))
    own = found.asked[np.arange(len(found.clips)), seen.labels[found.clips]]
    np.testing.assert_array_equal(own, found.known)
    assert own.mean() == 0.5
    sizes = found.asked.sum(axis=1)
    assert (sizes.min(), sizes.max()) == (2, 10)


def test_two_labels_can_be_asked_with_and_without_the_own_one() -> None:
    found = draw_questions(np.array([0, 1]), np.arange(2), range(2), 2, np.random.default_rng(0))
    assert sorted(found.asked.sum(axis=1)) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_confidence_is_right_where_the_softmax_is_far_too_sure() -> None:
    (found,) = judge(world(0.15), by_clips=False, repeats=4)
    assert found.before.ece is not None
    assert found.after.ece is not None
    assert found.before.ece > 0.5
    assert found.after.ece < 0.06
    assert found.after.ece_labels is not None
    assert found.after.ece_labels < 0.06
    assert found.after.auroc is not None
    assert found.before.auroc is not None
    assert found.after.auroc > found.before.auroc + 0.05
    assert found.informative == 1.0


def test_without_any_signal_confidence_becomes_the_share_of_right_answers() -> None:
    (found,) = judge(world(0.0), by_clips=False, repeats=4)
    assert found.after.ece is not None
    assert found.after.ece < 0.05
    assert found.after.auroc == pytest.approx(0.5, abs=0.05)
    assert found.after.coverage == 0.0


@pytest.mark.parametrize("by_clips", [False, True])
def test_what_is_judged_was_not_fitted_on(monkeypatch: pytest.MonkeyPatch, by_clips: bool) -> None:
    """Classes are left out, or clips."""
    seen = world(0.3, classes=5, clips=4)
    fits: list[tuple[set[int], set[int]]] = []
    asked: list[tuple[set[int], set[int]]] = []
    draw = draw_questions

    def fit(seen: Seen, clips: IntArray, classes: list[int], _: object) -> Logistic:
        fits.append((set(clips.tolist()), set(classes)))
        return Logistic(0.0, (1.0, 0.0))

    def drawn(labels: IntArray, clips: IntArray, classes: list[int], *rest: object) -> object:
        asked.append((set(clips.tolist()), set(classes)))
        return draw(labels, clips, classes, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(judged, "fit_clips", fit)
    monkeypatch.setattr(judged, "draw_questions", drawn)
    judge(seen, by_clips=by_clips, repeats=3)
    assert len(fits) == len(asked) == 6
    for (clips, classes), (others, labels) in zip(fits, asked, strict=True):
        assert not clips & others
        assert clips | others == set(range(20))
        assert classes == labels == set(range(5)) if by_clips else not classes & labels


def test_labels_that_were_never_trained_are_judged_with_those_that_were() -> None:
    """A closed-form fit makes the trained classes stand out. The softmax is as sure about other labels; confidence is
    not."""
    plain = world(0.08)
    trained = world(0.6, seed=1)
    both = replace(plain, readings=(Reading("trained", trained.readings[0].similarities), *plain.readings))
    of_trained, of_others = judge(both, by_clips=False, repeats=4)
    assert (of_trained.reading, of_others.reading) == ("trained", "labels")
    for found in (of_trained, of_others):
        assert found.before.ece is not None
        assert found.after.ece is not None
        assert found.after.ece < 0.25 < found.before.ece
    logistic = fit_clips(both, np.arange(len(both.labels)), range(12), np.random.default_rng(0))
    sure, unsure = logistic(np.array([0.6, 0.085]), np.zeros(1))
    assert unsure < 0.5 < 0.9 < sure
