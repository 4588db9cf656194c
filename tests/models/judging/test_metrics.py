from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from models.frames.arrays import FloatArray, IntArray
from models.judging import metrics

SCORES = np.array([[3.0, 2, 1], [1, 3, 2], [2, 3, 1], [1, 2, 3], [3, 1, 2]])
LABELS = np.array([0, 1, 0, 2, 1])


def test_metrics_by_hand() -> None:
    assert metrics.top_k(SCORES, LABELS, 1) == 3 / 5
    assert metrics.top_k(SCORES, LABELS, 2) == 4 / 5  # the last clip's class comes third
    assert metrics.top_k(SCORES, LABELS, 5) == 1.0  # more than there are classes
    assert metrics.class_accuracies(SCORES, LABELS).tolist() == [0.5, 0.5, 1.0]
    assert metrics.mean_class_accuracy(SCORES, LABELS) == pytest.approx(2 / 3)
    assert metrics.confusion_matrix(SCORES, LABELS).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_mean_class_accuracy_is_not_overall_accuracy() -> None:
    """Nine clips of a frequent class right, one of a rare class wrong."""
    scores = np.tile([1.0, 0.0], (10, 1))
    labels = np.array([0] * 9 + [1])
    assert metrics.top_k(scores, labels, 1) == 0.9
    assert metrics.mean_class_accuracy(scores, labels) == 0.5


def test_classes_without_clips_count_in_no_mean() -> None:
    scores = np.column_stack([SCORES, np.zeros(5)])
    assert np.isnan(metrics.class_accuracies(scores, LABELS)[3])
    assert np.isnan(metrics.average_precisions(scores, LABELS)[3])
    assert metrics.mean_class_accuracy(scores, LABELS) == metrics.mean_class_accuracy(SCORES, LABELS)
    assert metrics.mean_average_precision(scores, LABELS) == metrics.mean_average_precision(SCORES, LABELS)


def test_a_model_that_scores_all_classes_alike_gets_no_credit() -> None:
    flat = np.zeros((6, 3))
    labels = np.array([0, 1, 2, 0, 1, 2])
    assert metrics.top_k(flat, labels, 1) == 1 / 3
    assert metrics.top_k(flat, labels, 2) == 2 / 3
    assert metrics.mean_average_precision(flat, labels) == pytest.approx(1 / 3)  # the prior


def test_no_clips_have_no_metrics() -> None:
    empty = (np.zeros((0, 3)), np.zeros(0, np.int64))
    assert np.isnan(metrics.top_k(*empty, k=1))
    assert np.isnan(metrics.mean_class_accuracy(*empty))
    assert np.isnan(metrics.mean_average_precision(*empty))


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros((2, 3)), np.array([0, -1])),
        (np.zeros((2, 3)), np.array([0])),
        (np.full((2, 3), np.nan), np.array([0, 1])),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(scores: FloatArray, labels: IntArray) -> None:
    """A NaN compares as false everywhere, and would count as a hit."""
    with pytest.raises(ValueError, match=r"score|labels"):
        metrics.top_k(scores, labels, 1)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), clips=st.integers(1, 40), classes=st.integers(3, 12), levels=st.integers(2, 50))
def test_metrics_agree_with_scikit_learn(seed: int, clips: int, classes: int, levels: int) -> None:
    """With few levels scores tie, which matters to metrics that rank by thresholds."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=clips)
    scores = generator.integers(levels, size=(clips, classes)) / levels
    best = scores.argmax(axis=1)
    everything = range(classes)
    counted = confusion_matrix(labels, best, labels=everything)
    assert metrics.confusion_matrix(scores, labels).tolist() == counted.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that were answered and do not occur
        assert metrics.mean_class_accuracy(scores, labels) == pytest.approx(balanced_accuracy_score(labels, best))
    expected = [average_precision_score(labels == label, scores[:, label]) for label in np.unique(labels)]
    assert metrics.mean_average_precision(scores, labels) == pytest.approx(np.mean(expected))
    untied = scores + generator.permuted(np.tile(np.linspace(0, 1e-3, classes), (clips, 1)), axis=1)
    for k in (1, 2):
        theirs = top_k_accuracy_score(labels, untied, k=k, labels=list(everything))
        assert metrics.top_k(untied, labels, k) == pytest.approx(theirs)


@given(seed=st.integers(0, 1000))
def test_logits_and_probabilities_give_the_same_ranks(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(20, 5)), generator.integers(5, size=20)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for k in (1, 2, 5):
        assert metrics.top_k(logits, labels, k) == metrics.top_k(shares, labels, k)
