"""Draws among the classes of a dataset. Each is a function of the seed and of the names, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FEWEST_CLASSES: Final = 4  # two on each side: a single class has nothing to be confused with


@dataclass(frozen=True, slots=True)
class ClassSplit:
    """Names of the classes to train on (base), and of those left out of training (novel)."""

    base: tuple[str, ...]
    novel: tuple[str, ...]


def half_of(classes: Sequence[str], seed: int) -> tuple[str, ...]:
    """Half of the classes, rounded down, in their order, as Text4Vis' test_zeroshot.py 288-317 draws it: seed numpy,
    permute the classes, keep the first half."""
    order = _permutation(len(classes), seed)
    return tuple(classes[place] for place in sorted(order[: len(classes) // 2]))


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
        drawn = _permutation(len(names), seed)[: round(novel * len(names))]
        return _split(classes, {names[index] for index in drawn})
    if unknown := sorted(set(novel) - set(classes)):
        raise ValueError(f"{unknown[0]!r} is not one of the classes, so it cannot be left out")
    return _split(classes, set(novel))


def _permutation(count: int, seed: int) -> list[int]:
    import numpy as np  # not above: a gateway, which draws nothing, would start more slowly

    # RandomState gives the numbers of `np.random.seed(s)`, with which the published splits were drawn.
    return list(np.random.RandomState(seed).permutation(count).tolist())


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
