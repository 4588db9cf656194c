"""Who is trained on when: a pure function of seed and position, so that a resumed run, or another number of processes,
goes through the same clips with the same crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pick:
    clip: int  # index of the train clip
    seed: int  # of its augmentation
    weight: float  # 1, or 0 for one that only fills up a process's share


@dataclass(frozen=True, slots=True)
class Order:
    """clips: how many there are; repeats: of each in an epoch; rank, world: this process among how many."""

    clips: int
    repeats: int
    batch: int
    micro: int
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def per_epoch(self) -> int:
        """Optimiser steps. The last batch of an epoch is kept, though it is smaller (method §8)."""
        return ceil(self.clips * self.repeats / self.batch)

    def epoch(self, number: int) -> IntArray:
        """Clip at each place of an epoch, int64 [clips · repeats]."""
        places = np.random.default_rng((self.seed, number)).permutation(self.clips * self.repeats)
        return (places % self.clips).astype(np.int64)

    def size(self, step: int) -> int:
        """Clips in the global batch of a step."""
        start = step % self.per_epoch * self.batch
        return min(self.batch, self.clips * self.repeats - start)

    def steps(self, first: int, last: int) -> Iterator[list[list[Pick]]]:
        """For each step from `first` up to `last`, this process's micro-batches. Every process has as many."""
        known = -1
        for step in range(first, last):
            number, iteration = divmod(step, self.per_epoch)
            if number != known:
                clips, known = self.epoch(number), number
            start = iteration * self.batch
            places = range(start, start + self.size(step))
            picks = [
                Pick(int(clips[place]), self._seed(number, place), 1.0) for place in places[self.rank :: self.world]
            ]
            missing = ceil(len(places) / self.world) - len(picks)
            picks += [Pick(int(clips[start]), 0, 0.0)] * missing
            yield [picks[at : at + self.micro] for at in range(0, len(picks), self.micro)]

    def _seed(self, epoch: int, place: int) -> int:
        return int(np.random.SeedSequence((self.seed, epoch, place)).generate_state(1)[0])
