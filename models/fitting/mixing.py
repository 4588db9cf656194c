"""Mixup and cutmix: a clip becomes partly its partner, and so does its target (method §12).

ViFi-CLIP mixes each batch with a random order of itself: cutmix with probability 0.5, else mixup. One draw holds for a
batch. Here it is a function of seed and step, and the partner of a clip is its neighbour in the global batch: the clips
of a batch are in random order, so a neighbour is a random clip. How the batch is cut into micro-batches, and how
many processes share it, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MIXING = 5  # random stream


@dataclass(frozen=True, slots=True)
class Mixing:
    """mixup, cutmix: α of the Beta distributions; cutmix_share: probability of cutmix. The defaults are the code's."""

    mixup: float = 0.8
    cutmix: float = 1.0
    cutmix_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Mix:
    """share: of the clip itself in pixels and target; box: left, top, right, bottom of what is cut from the partner, in
    pixels; None: all pixels are blended."""

    share: float
    box: tuple[int, int, int, int] | None


def draw_mix(mixing: Mixing, seed: int, step: int, side: int) -> Mix:
    """side: S, pixels."""
    rng = np.random.default_rng((seed, _MIXING, step))
    if rng.random() >= mixing.cutmix_share:
        return Mix(float(rng.beta(mixing.mixup, mixing.mixup)), None)
    half = side * float(np.sqrt(1 - rng.beta(mixing.cutmix, mixing.cutmix))) / 2
    x, y = rng.integers(side, size=2)
    left, right = (int(np.clip(round(x + sign * half), 0, side)) for sign in (-1, 1))
    top, bottom = (int(np.clip(round(y + sign * half), 0, side)) for sign in (-1, 1))
    return Mix(1 - (right - left) * (bottom - top) / side**2, (left, top, right, bottom))


def partner_of(at: int, size: int) -> int:
    """The place in a batch of `size` clips that is mixed with the place `at`. The last of an odd number is alone."""
    return at ^ 1 if at ^ 1 < size else at
