"""Scores among some of the classes: halves of them, base and novel (method §11, §12). `core.protocols` draws them.

The scores of all classes are given, and some of the columns are kept: the classes then compete only within the chosen
label space, and probabilities and logits give the same ranks. Shares are from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from models.frames.arrays import FloatArray, IntArray
from models.judging.metrics import top_k


class BaseToNovel(TypedDict):
    """Top-1 of base clips among base classes, of novel clips among novel classes, and their harmonic mean."""

    base: float
    novel: float
    harmonic_mean: float


def restrict(scores: FloatArray, labels: IntArray, kept: Sequence[int]) -> tuple[FloatArray, IntArray]:
    """Keep the clips and the columns of the kept classes: scores [m, K], and labels [m] that are columns of it."""
    columns = np.asarray(kept, np.int64)
    place = np.full(scores.shape[1], -1, np.int64)
    place[columns] = np.arange(len(columns))
    inside = place[labels] >= 0  # [n]
    return scores[inside][:, columns], place[labels[inside]]


def harmonic_mean(base: float, novel: float) -> float:
    """2ab / (a + b); 0 if both are 0 (method §12)."""
    return 2 * base * novel / (base + novel) if base + novel > 0 else 0.0


def base_to_novel(
    base_scores: FloatArray, base_labels: IntArray, novel_scores: FloatArray, novel_labels: IntArray
) -> BaseToNovel:
    """Scores of base clips among base classes [n, C], and of novel clips among novel classes [m, K]; `restrict` cuts
    them out of scores of all classes. A side without clips is NaN, and so is the harmonic mean then."""
    base, novel = top_k(base_scores, base_labels, k=1), top_k(novel_scores, novel_labels, k=1)
    unknown = math.isnan(base) or math.isnan(novel)
    return {"base": base, "novel": novel, "harmonic_mean": math.nan if unknown else harmonic_mean(base, novel)}
