"""The order of clips in training: a pure function of seed and position. A resumed run, or one with another number of
processes, therefore goes through the same clips with the same crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from models.frames.arrays import IntArray


@dataclass(frozen=True, slots=True)
class Pick:
    clip: int  # index of the train clip
    seed: int  # of its augmentation
    weight: float  # 1, or 0 for a filler that makes a process's share as long as the others'


@dataclass(frozen=True, slots=True)
class Order:
    """clips: number of train clips; repeats: how often each occurs in an epoch; batch: clips per optimiser step, over
    all processes; micro: clips per forward pass of one process; rank, world: number of this process, and of
    processes."""

    clips: int
    repeats: int
    batch: int
    micro: int
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def per_epoch(self) -> int:
        """Optimiser steps per epoch. The last batch of an epoch is used even if it is smaller (method §8)."""
        return ceil(self.clips * self.repeats / self.batch)

    def epoch(self, number: int) -> IntArray:
        """The clip at each position of an epoch, int64 [clips · repeats]."""
        places = np.random.default_rng((self.seed, number)).permutation(self.clips * self.repeats)
        return (places % self.clips).astype(np.int64)

    def size(self, step: int) -> int:
        """Number of clips in the global batch of a step."""
        start = step % self.per_epoch * self.batch
        return min(self.batch, self.clips * self.repeats - start)

    def steps(self, first: int, last: int) -> Iterator[list[list[Pick]]]:
        """This process's micro-batches of each step from `first` up to but not including `last`. All processes have
        equally many."""
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
