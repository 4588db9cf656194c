"""Segments of a timeline: from the similarities of all labels at each point to parts of the video, by hysteresis.

The labels compete: at most one of them has a segment at a time. Cosines of different labels have different levels, so
no threshold on cosines fits all labels; the softmax over the labels compares them at each point, as the scores of a
question do. A label has a segment where its score reaches `enter`; with 0.5 it weighs more than all others together.
The segment goes on to both sides as long as the score stays at `leave` and no other label reaches `enter`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.frames.arrays import FloatArray, IntArray

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Run:
    """The points first … last, in which the label number `label` has its segment."""

    label: int
    first: int
    last: int


def softmax(similarities: FloatArray, scale: float) -> FloatArray:
    """Cosines [N, C] → scores [N, C] over the labels, with the model's logit scale."""
    logits = scale * similarities.astype(np.float64)  # [N, C]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return scores


def find_segments(scores: FloatArray, enter: float, leave: float) -> list[Run]:
    """scores: [N, C], over the labels; leave ≤ enter → the segments in order, without overlap. A single label has no
    segment, because it has nothing to compete with."""
    if scores.shape[1] < 2:
        return []
    holders = _holders(scores, enter, leave)
    edges = np.flatnonzero(np.diff(holders)) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(holders)]
    return [
        Run(int(holders[start]), start, end - 1)
        for start, end in zip(starts, ends, strict=True)
        if holders[start] != NOBODY
    ]


def _holders(scores: FloatArray, enter: float, leave: float) -> IntArray:
    """The label that has its segment at each point [N], or NOBODY."""
    holders = np.full(len(scores), NOBODY, dtype=np.int64)
    holder = NOBODY
    for point, best in enumerate(scores.argmax(axis=1).tolist()):
        if scores[point, best] >= enter:
            holder = best
        elif holder != NOBODY and scores[point, holder] < leave:
            holder = NOBODY
        holders[point] = holder
    for point in range(len(holders) - 2, -1, -1):
        after = holders[point + 1]
        if holders[point] == NOBODY and after != NOBODY and scores[point, after] >= leave:
            holders[point] = after
    return holders
