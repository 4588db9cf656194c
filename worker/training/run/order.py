"""The order of clips in training: a pure function of seed and position. A resumed run, or one with another number of
processes, therefore goes through the same clips with the same crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from models.fitting.mixing import Mix, Mixing, draw_mix, partner_of
from models.frames.arrays import IntArray


@dataclass(frozen=True, slots=True)
class Pick:
    clip: int  # index of the train clip
    seed: int  # of its augmentation
    weight: float  # 1, or 0 for a filler that makes a process's share as long as the others'
    partner: tuple[int, int] | None = None  # clip and seed of the clip that it is mixed with
    mix: Mix | None = None


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
    drop_last: bool = False
    mixing: Mixing | None = None
    side: int = 0  # S, pixels; for `mixing`

    @property
    def per_epoch(self) -> int:
        """Optimiser steps per epoch. The last batch of an epoch is used even if it is smaller (method §8), unless
        `drop_last`."""
        if self.drop_last:
            return max(1, self.clips * self.repeats // self.batch)
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
            size = self.size(step)
            whole = [Pick(int(clips[place]), self._seed(number, place), 1.0) for place in range(start, start + size)]
            if self.mixing is not None:
                whole = self._mixed(whole, draw_mix(self.mixing, self.seed, step, self.side))
            picks = self._share(whole)
            picks += [Pick(int(clips[start]), 0, 0.0)] * (self._longest_share(size) - len(picks))
            yield [picks[at : at + self.micro] for at in range(0, len(picks), self.micro)]

    def _share(self, whole: list[Pick]) -> list[Pick]:
        """This process's picks of a batch. Partners stay together, so that a clip is decoded once."""
        pairs = [whole[at : at + self._together] for at in range(0, len(whole), self._together)]
        return [pick for pair in pairs[self.rank :: self.world] for pick in pair]

    def _longest_share(self, size: int) -> int:
        pairs = ceil(size / self._together)
        return min(size, self._together * ceil(pairs / self.world))

    @property
    def _together(self) -> int:
        return 1 if self.mixing is None else 2

    @staticmethod
    def _mixed(whole: list[Pick], mix: Mix) -> list[Pick]:
        partners = [whole[partner_of(at, len(whole))] for at in range(len(whole))]
        return [
            replace(pick, partner=(other.clip, other.seed), mix=mix)
            for pick, other in zip(whole, partners, strict=True)
        ]

    def _seed(self, epoch: int, place: int) -> int:
        return int(np.random.SeedSequence((self.seed, epoch, place)).generate_state(1)[0])
