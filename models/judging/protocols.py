"""Protocols for labels that were not trained on: halves of the classes, and base against novel (method §11, §12).

They take scores of all classes once and choose among the columns: the classes compete only within the chosen label
space, and probabilities or logits give the same ranks. Shares are from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.judging.metrics import IntArray, Scores, top_k

SEEDS = tuple(range(10))  # of the half-class protocol


@dataclass(frozen=True, slots=True)
class Spread:
    mean: float
    std: float  # population: divided by the number of values


@dataclass(frozen=True, slots=True)
class Half:
    """One seeded half of the classes."""

    seed: int
    classes: tuple[int, ...]  # those kept, ascending
    clips: int
    top1: float
    top5: float


@dataclass(frozen=True, slots=True)
class HalfClass:
    halves: tuple[Half, ...]
    top1: Spread
    top5: Spread


@dataclass(frozen=True, slots=True)
class ClassSplit:
    """Names of classes to train on, and of those kept for the question what training cost."""

    base: tuple[str, ...]
    novel: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaseToNovel:
    """Top-1 of base clips among base classes, of novel clips among novel classes, and their harmonic mean."""

    base: float
    novel: float
    harmonic_mean: float


def half_class(scores: Scores, labels: IntArray, seeds: Sequence[int] = SEEDS) -> HalfClass:
    """scores: [n, C]; labels: int [n]. Text4Vis' zero-shot protocol (test_zeroshot.py 288-317): with each seed permute
    the classes that occur, keep the first half (rounded down), score its clips among its classes.

    Raises: ValueError for fewer than four classes that occur: with one there is nothing to confuse.
    """
    present = np.unique(labels)
    if len(present) < 4:
        raise ValueError(f"halves of the classes need clips of four classes or more, not of {len(present)}")
    halves = tuple(_half(scores, labels, present, seed) for seed in seeds)
    return HalfClass(halves, spread([half.top1 for half in halves]), spread([half.top5 for half in halves]))


def spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values)))


def restrict(scores: Scores, labels: IntArray, kept: Sequence[int]) -> tuple[Scores, IntArray]:
    """The clips of the kept classes, scored among them alone: [m, K], and their labels as columns of that [m]."""
    columns = np.asarray(kept, np.int64)
    place = np.full(scores.shape[1], -1, np.int64)
    place[columns] = np.arange(len(columns))
    inside = place[labels] >= 0  # [n]
    return scores[inside][:, columns], place[labels[inside]]


def harmonic_mean(base: float, novel: float) -> float:
    """2ab / (a + b), and 0 where both are (method §12)."""
    return 2 * base * novel / (base + novel) if base + novel > 0 else 0.0


def base_to_novel(scores: Scores, labels: IntArray, base: Sequence[int], novel: Sequence[int]) -> BaseToNovel:
    """scores: [n, C] of clips of both kinds; base, novel: their classes. NaN where a side has no clips."""
    among_base, among_novel = (top_k(*restrict(scores, labels, side), k=1) for side in (base, novel))
    unknown = math.isnan(among_base) or math.isnan(among_novel)
    return BaseToNovel(among_base, among_novel, math.nan if unknown else harmonic_mean(among_base, among_novel))


def frequent_half(clips: Mapping[str, int]) -> ClassSplit:
    """clips: training clips by class. The more frequent half is base, and the odd class too (P2 §3: HMDB-51 26 and 25);
    among equals the name decides. Raises: ValueError."""
    ranked = sorted(clips, key=lambda name: (-clips[name], name))
    return _split(clips, set(ranked[(len(ranked) + 1) // 2 :]))


def leave_out(classes: Sequence[str], novel: float | Sequence[str], seed: int) -> ClassSplit:
    """novel: the names themselves, or the share of the classes that is drawn with the seed, whatever their order.

    Raises: ValueError where a name is none of the classes, or a side would have fewer than two.
    """
    if isinstance(novel, float | int):
        names = sorted(classes)
        drawn = np.random.RandomState(seed).permutation(len(names))[: round(novel * len(names))]
        return _split(classes, {names[index] for index in drawn})
    if unknown := sorted(set(novel) - set(classes)):
        raise ValueError(f"{unknown[0]!r} is none of the classes and cannot be left out")
    return _split(classes, set(novel))


def _split(classes: Sequence[str] | Mapping[str, int], novel: set[str]) -> ClassSplit:
    split = ClassSplit(
        tuple(name for name in classes if name not in novel), tuple(name for name in classes if name in novel)
    )
    if min(len(split.base), len(split.novel)) < 2:
        raise ValueError(
            f"{len(split.base)} classes to train on and {len(split.novel)} to leave out: each side needs two, because "
            "with one there is nothing to confuse"
        )
    return split


def _half(scores: Scores, labels: IntArray, present: IntArray, seed: int) -> Half:
    # RandomState: the numbers that `np.random.seed(s)` gives, which the published splits were drawn with
    order = np.random.RandomState(seed).permutation(len(present))
    kept = np.sort(present[order[: len(present) // 2]])
    chosen, own = restrict(scores, labels, kept.tolist())
    return Half(seed, tuple(kept.tolist()), len(own), top_k(chosen, own, 1), top_k(chosen, own, 5))
