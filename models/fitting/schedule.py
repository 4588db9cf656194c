"""The learning rate as a pure function of the position in training, so that a resumed run continues at the same rate.

Method §8: linear warm-up from 0, then a cosine down to a floor, over fractional epochs. Text4Vis' code changes the rate
only on the first and then on every tenth iteration of an epoch; `fractional_epoch` takes that into account.
"""

from __future__ import annotations

import math


def lr_at(
    epoch: float, *, base: float, warmup: float, total: float, min_ratio: float = 0.0, whole_cosine: bool = False
) -> float:
    """epoch: fractional, from 0; warmup, total: epochs; the floor is base · min_ratio, also after the end.
    whole_cosine: the cosine begins with the run, and the warm-up covers its first part (timm's, which ViFi-CLIP uses).

    Raises: ValueError if the warm-up takes the whole run, because the rate would never reach `base`.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"warm-up must be shorter than training, not {warmup} of {total} epochs")
    if epoch < warmup:
        return base * epoch / warmup
    begin = 0.0 if whole_cosine else warmup
    done = min((epoch - begin) / (total - begin), 1.0)  # share of the cosine
    return base * (min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * done)) / 2)


def fractional_epoch(epoch: int, iteration: int, iterations: int, every: int = 1) -> float:
    """The fractional epoch that determines the rate of an iteration (0-based) of an epoch of `iterations`.

    With every = 10 the rate changes in iterations 0, 9, 19, … (T4V train.py 337-339; its log has 9/940 in the tenth).
    """
    changed = iteration - (iteration + 1) % every  # the last iteration with (i + 1) divisible by `every`
    return epoch + max(changed, 0) / iterations
