"""How well probabilities hold: the reliability diagram, its expected error, known against unknown, and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.frames.arrays import BoolArray, FloatArray

BINS: Final = 10
PRECISION: Final = 0.9  # at which coverage is measured


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose probability lies between `low` and `high`: their mean probability, the share of right ones, and
    how many they are."""

    low: float
    high: float
    claimed: float
    right: float
    count: int


def reliability(probabilities: FloatArray, right: BoolArray, bins: int = BINS) -> tuple[Bin, ...]:
    """probabilities: of answers [q], from 0 to 1; right: whether each is [q]. Bins of equal width;
    empty ones are left out."""
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)  # [q]
    found: list[Bin] = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            claimed, share = float(probabilities[inside].mean()), float(right[inside].mean())
            found.append(Bin(place / bins, (place + 1) / bins, claimed, share, int(inside.sum())))
    return tuple(found)


def expected_error(diagram: tuple[Bin, ...]) -> float | None:
    """ECE: the mean distance between probability and share of right answers, weighted by the answers. None without
    answers."""
    total = sum(each.count for each in diagram)
    return sum(each.count * abs(each.claimed - each.right) for each in diagram) / total if total else None


def auroc(scores: FloatArray, positive: BoolArray) -> float | None:
    """The chance that a positive scores higher than a negative; ties count half. None if one of them is missing."""
    if not positive.any() or positive.all():
        return None
    from sklearn.metrics import roc_auc_score  # serving does not need it

    return float(roc_auc_score(positive, scores))


def coverage(scores: FloatArray, right: BoolArray, precision: float = PRECISION) -> tuple[float, float | None]:
    """The largest share of questions that can be answered, the highest scores first, so that at least `precision` of
    the answers are right; and the lowest score among them, None if there is no such share. Equal scores are answered
    together."""
    if not len(scores):
        return 0.0, None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(right[order])  # [q]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last of each group of equal scores
    enough = ends[hits[ends] >= precision * (ends + 1)]
    if not len(enough):
        return 0.0, None
    last = int(enough[-1])
    return (last + 1) / len(scores), float(ranked[last])
