"""Confidence as a function of similarities."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration.logistic import Logistic, evidence, fit_logistic

RNG = np.random.default_rng(0)


def test_evidence_is_what_stands_above_the_null_prompts() -> None:
    found = evidence(np.array([[0.3, 0.1]]), np.array([[0.1, 0.2, 0.0]]))
    np.testing.assert_allclose(found, [[[0.2, 0.1], [0.0, -0.1]]], atol=1e-12)


def test_confidence_does_not_depend_on_the_other_labels_nor_on_what_the_video_adds_to_all_texts() -> None:
    logistic, null = Logistic(-1.0, (20.0, 5.0)), np.array([0.1, 0.2])
    both = logistic(np.array([0.3, 0.15]), null)
    assert both[0] == logistic(np.array([0.3]), null)[0]
    np.testing.assert_allclose(logistic(np.array([0.4, 0.25]), null + 0.1), both)
    assert 0 < both[1] < both[0] < 1


def test_it_cannot_overflow() -> None:
    sure = Logistic(0.0, (1e6, 0.0))(np.array([1.0, -1.0]), np.array([0.0]))
    np.testing.assert_array_equal(sure, [1.0, 0.0])


def test_a_known_function_is_found_again() -> None:
    known = Logistic(-2.0, (15.0, 0.0))
    similarities, null = RNG.normal(0.1, 0.2, (20_000, 1)), RNG.normal(0, 0.1, (20_000, 4))
    claimed = known(similarities, null)[:, 0]
    true = RNG.random(20_000) < claimed
    fitted = fit_logistic(evidence(similarities, null)[:, 0], true, np.ones(20_000))
    np.testing.assert_allclose(fitted(similarities, null)[:, 0], claimed, atol=0.03)


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_evidence_that_says_nothing_or_the_opposite_gives_the_share_of_true_labels(sign: float) -> None:
    """A confidence that falls as the similarity rises would turn the order of the answer round."""
    found = np.repeat(np.linspace(-1, 1, 40)[:, None], 2, axis=1)
    true = np.tile([True, False, False, False], 10) if sign == 0 else found[:, 0] < -0.5
    fitted = fit_logistic(found * (1e-9 if sign == 0 else 1), true, np.ones(40))
    confidence = fitted(np.array([0.9, -0.9]), np.array([0.0]))
    if sign < 0:
        assert not fitted.informative
        assert confidence[0] == confidence[1]
    np.testing.assert_allclose(confidence, true.mean(), atol=0.02)
