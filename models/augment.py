"""Train augmentation of clips (method §3.1): one plan per clip, applied to each of its frames. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Augment:
    """Text4Vis' train column (method §3.1). The short side before the crop is the profile's."""

    area: tuple[float, float] = (0.08, 1.0)  # of the frame that the random sized crop covers
    aspect: tuple[float, float] = (3 / 4, 4 / 3)  # drawn uniformly, width and height swapped with p = 0.5
    flip: float = 0.5  # probability of the horizontal flip
    grayscale: float = 0.2
    randaugment: tuple[int, int] | None = None  # (N, M): K400 runs only, (2, 9); a fresh draw per frame
