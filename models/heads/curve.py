"""What more clips would bring: accuracy over clips per class, measured on subsamples and continued by a power law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.frames.arrays import FloatArray
from models.heads.blend import Blend
from models.heads.linear import Span

SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
DRAWS: Final = 12
FEWEST_LEFT: Final = 1  # clips per class to judge a subsample on
EXPONENTS: Final = (0.25, 0.5, 0.75, 1.0)
BOOTSTRAPS: Final = 200


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy at so many clips per class: the mean and its 90 % band over draws (measured) or bootstraps."""

    shots: int
    mean: float
    low: float
    high: float
    measured: bool


def learning_curve(features: Tensor, own: Tensor, labels: Tensor, *, seed: int = 0) -> tuple[Point, ...]:
    """features: f [n, F]; own: z [n, C]; labels: int64 [n]. The last points are predictions for the clips that there
    are, twice and four times as many. Empty if the classes have too few clips for two sizes."""
    counts = np.bincount(labels.numpy(), minlength=own.shape[1])
    fewest = int(counts.min())
    sizes = [size for size in SIZES if size <= fewest - FEWEST_LEFT and size * len(counts) <= 600]
    if len(sizes) < 2:
        return ()
    x = Span.of(features).project(features)
    draws = np.array([[_draw(x, own, labels, size, (seed, size, draw)) for draw in range(DRAWS)] for size in sizes])
    points = [_point(size, found, measured=True) for size, found in zip(sizes, draws, strict=True)]
    rng = np.random.default_rng(seed)
    shots = np.array(sizes, np.float64)
    ahead = [size for size in (fewest, 2 * fewest, 4 * fewest) if size > sizes[-1]]
    fits = [_fit(shots, _resampled(draws, rng)) for _ in range(BOOTSTRAPS)]
    middle = _fit(shots, draws.mean(axis=1))
    for size in ahead:
        spread = [_at(fit, size) for fit in fits]
        low, high = np.quantile(spread, [0.05, 0.95])
        mean = _at(middle, size)
        points.append(Point(size, mean, min(float(low), mean), max(float(high), mean), measured=False))
    return tuple(points)


def _draw(x: Tensor, own: Tensor, labels: Tensor, size: int, seed: tuple[int, ...]) -> float:
    """Class-balanced accuracy of the blend of `size` clips per class on the others."""
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:size] for label in range(own.shape[1])])
    fitted = torch.zeros(len(labels), dtype=torch.bool)
    fitted[torch.from_numpy(chosen)] = True
    blend = Blend.fit(x[fitted], own[fitted], labels[fitted])
    hits = (blend(x[~fitted], own[~fitted]).argmax(dim=1) == labels[~fitted]).double()
    return float(torch.stack([hits[labels[~fitted] == label].mean() for label in range(own.shape[1])]).mean())


def _resampled(draws: FloatArray, rng: np.random.Generator) -> FloatArray:
    """draws: [sizes, draws] → the means of a bootstrap [sizes]."""
    means: FloatArray = rng.choice(draws, draws.shape[1], axis=1).mean(axis=1)
    return means


def _fit(shots: FloatArray, means: FloatArray) -> tuple[float, float, float]:
    """a − b · K^(−c) with b ≥ 0 by least squares: (a, b, c)."""
    best = (np.inf, (float(means[-1]), 0.0, 1.0))
    for exponent in EXPONENTS:
        design = np.stack([np.ones_like(shots), -(shots**-exponent)], axis=1)
        (top, slope), *_ = np.linalg.lstsq(design, means, rcond=None)
        if slope < 0:
            top, slope = means.mean(), 0.0
        error = float(np.square(design @ [top, slope] - means).sum())
        best = min(best, (error, (float(top), float(slope), exponent)))
    return best[1]


def _at(fit: tuple[float, float, float], shots: int) -> float:
    top, slope, exponent = fit
    return float(np.clip(top - slope * shots**-exponent, 0.0, 1.0))


def _point(shots: int, found: FloatArray, *, measured: bool) -> Point:
    low, high = np.quantile(found, [0.05, 0.95])
    return Point(shots, float(found.mean()), float(low), float(high), measured)
