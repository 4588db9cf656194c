"""Protocols for labels that were not trained on: halves of the classes, and base to novel (method §11, §12).

Each protocol takes the scores of all classes and keeps some of the columns: the classes then compete only within the
chosen label space, and probabilities and logits give the same ranks. Shares are from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from models.frames.arrays import FloatArray, IntArray
from models.judging.metrics import top_k

SEEDS = tuple(range(10))  # of the half-class protocol


class Spread(TypedDict):
    mean: float
    std: float  # population: divided by the number of values


class ClassHalf(TypedDict):
    """One seeded half of the classes."""

    seed: int
    classes: list[int]  # the kept ones, ascending
    clips: int
    top1: float
    top5: float


class HalfClass(TypedDict):
    splits: list[ClassHalf]
    top1: Spread
    top5: Spread


class BaseToNovel(TypedDict):
    """Top-1 of base clips among base classes, of novel clips among novel classes, and their harmonic mean."""

    base: float
    novel: float
    harmonic_mean: float


@dataclass(frozen=True, slots=True)
class ClassSplit:
    """Names of the classes to train on (base), and of those left out of training (novel)."""

    base: tuple[str, ...]
    novel: tuple[str, ...]


def half_class(scores: FloatArray, labels: IntArray, seeds: Sequence[int] = SEEDS) -> HalfClass:
    """scores: [n, C]; labels: int [n]. Text4Vis' zero-shot protocol (test_zeroshot.py 288-317): with each seed permute
    the classes that occur, keep the first half (rounded down), score its clips among its classes.

    Raises: ValueError if fewer than four classes occur: a half with one class has nothing to confuse.
    """
    present = np.unique(labels)
    if len(present) < 4:
        raise ValueError(f"the half-class protocol needs clips of at least four classes, and there are {len(present)}")
    halves = [_half(scores, labels, present, seed) for seed in seeds]
    top1, top5 = spread([half["top1"] for half in halves]), spread([half["top5"] for half in halves])
    return {"splits": halves, "top1": top1, "top5": top5}


def spread(values: Sequence[float]) -> Spread:
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}


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


def frequent_half(clips: Mapping[str, int]) -> ClassSplit:
    """clips: number of training clips by class. The more frequent half is base; of an odd number of classes, base gets
    one more (P2 §3: HMDB-51 26 and 25). The name decides among equally frequent classes. Raises: ValueError for fewer
    than four classes."""
    ranked = sorted(clips, key=lambda name: (-clips[name], name))
    return _split(clips, set(ranked[(len(ranked) + 1) // 2 :]))


def leave_out(classes: Sequence[str], novel: float | Sequence[str], seed: int) -> ClassSplit:
    """novel: the names of the novel classes, or the share of the classes to draw with the seed. The draw does not
    depend on the order of `classes`.

    Raises: ValueError if a name is not one of the classes, or if a side would have fewer than two.
    """
    if isinstance(novel, float | int):
        names = sorted(classes)
        drawn = np.random.RandomState(seed).permutation(len(names))[: round(novel * len(names))]
        return _split(classes, {names[index] for index in drawn})
    if unknown := sorted(set(novel) - set(classes)):
        raise ValueError(f"{unknown[0]!r} is not one of the classes, so it cannot be left out")
    return _split(classes, set(novel))


def _split(classes: Sequence[str] | Mapping[str, int], novel: set[str]) -> ClassSplit:
    split = ClassSplit(
        tuple(name for name in classes if name not in novel), tuple(name for name in classes if name in novel)
    )
    if min(len(split.base), len(split.novel)) < 2:
        raise ValueError(
            f"{len(split.base)} classes to train on and {len(split.novel)} to leave out are too few: each side needs "
            "two, because a single class has nothing to be confused with"
        )
    return split


def _half(scores: FloatArray, labels: IntArray, present: IntArray, seed: int) -> ClassHalf:
    # RandomState gives the numbers of `np.random.seed(s)`, with which the published splits were drawn.
    order = np.random.RandomState(seed).permutation(len(present))
    kept = np.sort(present[order[: len(present) // 2]])
    chosen, own = restrict(scores, labels, kept.tolist())
    return {
        "seed": seed,
        "classes": kept.tolist(),
        "clips": len(own),
        "top1": top_k(chosen, own, 1),
        "top5": top_k(chosen, own, 5),
    }
