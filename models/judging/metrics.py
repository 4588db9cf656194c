"""Metrics of single-label classification, each under its own name (method §15). numpy only; shares are from 0 to 1.

All functions take scores, float [n, C], and labels, int [n] in 0 … C-1. Scores are logits or probabilities; mAP
compares clips with each other and therefore needs probabilities. A metric that has no value, such as one of no clips,
is NaN. Where scores tie, the class with the lower index comes first, as in `argmax`, so that a model that gives every
class the same score earns nothing. Raises: ValueError for scores that are NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.frames.arrays import BoolArray, FloatArray, IntArray


def top_k(scores: FloatArray, labels: IntArray, k: int) -> float:
    """The share of clips whose class is among the k best: top-1 is overall accuracy."""
    _check(scores, labels)
    own = np.take_along_axis(scores, labels[:, None], axis=1)  # [n, 1]
    earlier = np.arange(scores.shape[1]) < labels[:, None]  # [n, C]
    ahead = (scores > own) | ((scores == own) & earlier)  # [n, C]
    return _mean(ahead.sum(axis=1) < k)


def mean_class_accuracy(scores: FloatArray, labels: IntArray) -> float:
    """Each class's own top-1, averaged over the classes that occur: a rare class counts as much as a frequent one. The
    paper's tables use this name for UCF-101 and HMDB-51 (its scripts print overall top-1, method §16 #6)."""
    return _mean(class_accuracies(scores, labels))


def class_accuracies(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Top-1 of each class's clips [C]; NaN for a class without any."""
    confusion = confusion_matrix(scores, labels)  # [C, C]
    return _ratio(confusion.diagonal(), confusion.sum(axis=1))


def mean_average_precision(scores: FloatArray, labels: IntArray) -> float:
    """Macro mAP: the mean of the classes' average precisions over the classes that occur (ActivityNet's metric)."""
    return _mean(average_precisions(scores, labels))


def average_precisions(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Per class, how well its scores rank its clips before the others [C]; NaN for a class without clips."""
    _check(scores, labels)
    classes = range(scores.shape[1])
    return np.array([_average_precision(scores[:, label], labels == label) for label in classes], np.float64)  # [C]


def confusion_matrix(scores: FloatArray, labels: IntArray) -> IntArray:
    """Clips by true class (row) and best class (column), int64 [C, C]."""
    _check(scores, labels)
    count = scores.shape[1]
    cells = labels * count + scores.argmax(axis=1)  # [n]
    return np.bincount(cells, minlength=count * count).reshape(count, count).astype(np.int64)  # [C, C]


def _average_precision(scores: FloatArray, positive: BoolArray) -> float:
    """Σ (R_n − R_{n−1}) · P_n over the thresholds n, no interpolation; equal scores are one threshold."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])  # [n], [n]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last clip of each threshold
    recall = hits[ends] / hits[-1]
    precision = hits[ends] / (ends + 1)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _check(scores: FloatArray, labels: IntArray) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"scores must be [n, C] and labels [n], not {scores.shape} and {labels.shape}")
    if len(labels) and not (labels.min() >= 0 and labels.max() < scores.shape[1]):
        raise ValueError(f"labels must be within 0 … {scores.shape[1] - 1}")
    if np.isnan(scores).any():
        raise ValueError("a score is not a number")


def _mean(values: npt.NDArray[Any]) -> float:
    """The mean of the values that are not NaN."""
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(known.mean()) if len(known) else float("nan")


def _ratio(part: IntArray, whole: IntArray) -> FloatArray:
    shares: FloatArray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
