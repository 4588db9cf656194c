"""Few-shot: K clips per class, drawn once with a seed and written down (method §10).

The released code draws with an unseeded generator, separately in each process. Here a draw is a function of the seed
and the clips' names. Their order and the number of processes change nothing. Each class is drawn separately and in a
fixed order, so the shot of K = 1 is among those of K = 2, and adding or removing a class changes no other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.weights.digests import digest


class ThinClass(ValueError):
    """Classes with fewer clips than shots. `counts`: clips by class."""

    def __init__(self, shots: int, counts: Mapping[str, int]) -> None:
        named = ", ".join(f"{label!r} has {count}" for label, count in sorted(counts.items())[:5])
        more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
        super().__init__(f"{shots} clips of each class are requested, but {named}{more}")
        self.counts = dict(counts)


@dataclass(frozen=True, slots=True)
class Shots:
    """The result of a draw. `by_class` goes into the card."""

    shots: int  # K
    seed: int
    by_class: dict[str, tuple[str, ...]]  # label → ids, in the order of the draw

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(name for names in self.by_class.values() for name in names)


def draw_shots(clips: Sequence[tuple[str, str]], shots: int, seed: int, *, up_to: bool = False) -> Shots:
    """clips: (id, label) of each, with unique ids; up_to: take all clips of a class that has fewer (LDA's 60 videos).

    Raises: ThinClass, naming the classes.
    """
    by_label: dict[str, list[str]] = {}
    for name, label in clips:
        by_label.setdefault(label, []).append(name)
    thin = {label: len(names) for label, names in by_label.items() if len(names) < shots}
    if thin and not up_to:
        raise ThinClass(shots, thin)
    return Shots(shots, seed, {label: _draw_class(by_label[label], label, shots, seed) for label in sorted(by_label)})


def shot_repeats(clips: int, drawn: int) -> int:
    """How often an epoch uses each drawn clip, so that it has as many iterations as an epoch over all clips:
    floor(N / (C · K)), as in T4V train.py 171-187."""
    return max(1, clips // max(1, drawn))


def _draw_class(names: Sequence[str], label: str, shots: int, seed: int) -> tuple[str, ...]:
    generator = np.random.default_rng(int(digest("shots", seed, label), 16))
    order = generator.permutation(len(names))
    ranked = sorted(names)
    return tuple(ranked[index] for index in order[:shots])
