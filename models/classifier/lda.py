"""W from the videos themselves: linear discriminant analysis of frozen features (paper §2.2, Alg. 2; method §5).

It is for labels whose names have no meaning, such as ids. The paper fits scikit-learn's default on 60 videos per class
and takes `coef_`. With fewer than 10 videos per dimension, the covariance is shrunk, because it cannot be estimated
otherwise.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from models.frames.arrays import FloatArray, IntArray

VIDEOS_PER_CLASS = 60  # paper §4.3
ENOUGH_PER_DIMENSION = 10  # with fewer videos, the covariance is shrunk (method §5 [D])


def discriminants(features: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """features: float32 [n, d], temporal means, un-normalised; labels: int64 [n] → rows float32 [C, d], of any length.

    Rows are relative to the mean of all classes, as scikit-learn's default solver returns them. Its shrinking solver
    leaves the mean in. That does not change its own decisions, but here each row is normalised, and the shared part
    would dominate the differences. Raises: ValueError if a class has no video, or no class has two.
    """
    x, y = features.double().cpu().numpy(), labels.cpu().numpy()  # [n, d], [n]
    counts = np.bincount(y, minlength=classes)
    _check(counts, classes)
    short = len(x) < ENOUGH_PER_DIMENSION * x.shape[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Only one sample available")  # such a class adds no variance
        warnings.filterwarnings("ignore", message="Variables are collinear")  # the pseudo-inverse handles them
        rows = _shrunk(x, y, counts) if short else _fit(x, y, solver="svd")
    return torch.from_numpy(rows).float()  # [C, d]


def _fit(x: FloatArray, y: IntArray, **options: object) -> FloatArray:
    # here, because it takes a second to import and is rarely needed
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows: FloatArray = LinearDiscriminantAnalysis(**options).fit(x, y).coef_  # [C, d]; for two classes one row, [1, d]
    return np.concatenate([-rows, rows]) if len(rows) == 1 else rows


def _shrunk(x: FloatArray, y: IntArray, counts: IntArray) -> FloatArray:
    """Ledoit and Wolf's shrinkage, estimated from the deviations of all classes together. `shrinkage="auto"` estimates
    it in each class separately. With three or more videos per class both agree. With two, "auto" finds no shrinkage at
    all (x and −x have the same outer product), and the rows are noise."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    means = np.stack([x[y == label].mean(axis=0) for label in range(len(counts))])  # [C, d]
    deviations = x - means[y]  # [n, d]
    spread = deviations.std(axis=0)  # [d]
    spread[spread == 0] = 1.0
    shrinkage = ledoit_wolf_shrinkage(deviations / spread, assume_centered=True)
    rows = _fit(x / spread, y, solver="lsqr", shrinkage=shrinkage) / spread  # [C, d], in units of x again
    centred: FloatArray = rows - (counts / counts.sum()) @ rows  # [C, d] − [d]
    return rows if len(rows) == 2 else centred  # two rows are opposite, so they have no mean to subtract


def _check(counts: IntArray, classes: int) -> None:
    if len(counts) != classes or classes < 2:
        raise ValueError(f"LDA needs labels of two or more classes, numbered from 0 to {classes - 1}")
    if not counts.all():
        raise ValueError(f"LDA needs a video of every class; class {int(np.argmin(counts))} has none")
    if counts.max() < 2:
        raise ValueError("LDA learns how videos of one class differ, so it needs a class with two or more videos")
