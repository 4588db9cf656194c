"""Repeated stratified cross-validation: which clips are left out together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

REPEATS = 10
FOLDS = 5


def stratified_folds(labels: Tensor, repeats: int = REPEATS, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """labels: int64 [n] → indices of the clips to fit on and of those to judge, for each fold of each repeat.

    Each clip of a class with two or more clips is judged once per repeat. A class with one clip is always fitted on and
    never judged.
    """
    own = labels.numpy()
    counts = np.bincount(own)
    folds = int(min(FOLDS, counts.max(initial=0)))
    if folds < 2:
        return
    judged = counts[own] > 1  # [n]
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        fold = np.full(len(own), -1)  # [n]
        start = 0
        for label in np.flatnonzero(counts > 1):
            places = rng.permutation(np.flatnonzero(own == label))
            fold[places] = (start + np.arange(len(places))) % min(folds, len(places))
            start += len(places)
        for number in range(folds):
            out = judged & (fold == number)
            if out.any():
                yield torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))
