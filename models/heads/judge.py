"""How well the heads and the blend do on clips that they were not fitted on: repeated stratified cross-validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.heads.blend import Blend
from models.heads.folds import stratified_folds
from models.heads.linear import HEADS, HeadName, Span, usable_heads

Candidate = Literal["zero_shot", "ncm", "ridge", "lda", "default"]
"""`zero_shot`: the base as it is; `default`: the blend; the others: a head alone."""

SHARPNESS: Final = tuple(2.0 ** (power / 2) for power in range(-2, 13))  # logits per score of the blend


@dataclass(frozen=True, slots=True)
class Judged:
    """hits: of each candidate, the share of right answers by clip [n], NaN for a clip that was never left out.
    sharpness: with which the blend's probabilities are most likely; None if no clip was left out."""

    hits: Mapping[Candidate, Tensor]
    sharpness: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its standard error over clips, and its 95 % interval (Wilson's)."""

    mean: float
    error: float
    interval: tuple[float, float]
    clips: int


def estimate(hits: Tensor) -> Estimate | None:
    """hits: share of right answers by clip [n]. None if no clip was judged."""
    known = hits[~hits.isnan()]
    count = len(known)
    if not count:
        return None
    mean = float(known.mean())
    z2 = 1.959964**2
    centre = (mean * count + z2 / 2) / (count + z2)
    half = math.sqrt(z2) / (count + z2) * math.sqrt(count * mean * (1 - mean) + z2 / 4)
    interval = max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))
    return Estimate(mean, float(known.std(correction=0)) / math.sqrt(count), interval, count)


def repeats_for(clips: int) -> int:
    """Ten for tens of clips, fewer for many, whose mean has less noise."""
    return max(1, min(10, 2000 // max(clips, 1)))


def judge_heads(features: Tensor, own: Tensor, labels: Tensor, *, seed: int = 0) -> Judged:
    """features: f [n, F]; own: z [n, C]; labels: int64 [n]. The folds are a function of labels and seed."""
    x, count = Span.of(features).project(features), len(labels)
    sums: dict[HeadName | Literal["default"], Tensor] = {}
    times = torch.zeros(count, dtype=torch.float64)
    left_out: list[tuple[Tensor, Tensor]] = []
    for fitted, out in stratified_folds(labels, repeats_for(count), seed):
        times[out] += 1
        blend = Blend.fit(x[fitted], own[fitted], labels[fitted])
        scores = {"default": blend(x[out], own[out])} | {
            name: HEADS[name](x[fitted], labels[fitted], own.shape[1])(x[out]) for name in usable_heads(labels[fitted])
        }
        left_out.append((scores["default"], labels[out]))
        for name, found in scores.items():
            total = sums.setdefault(name, torch.zeros(count, dtype=torch.float64))  # type: ignore[arg-type]
            total[out] += found.argmax(dim=1) == labels[out]
    zero_shot = torch.full((count,), math.nan, dtype=torch.float64)
    zero_shot[times > 0] = (own.argmax(dim=1) == labels).double()[times > 0]
    hits: dict[Candidate, Tensor] = {"zero_shot": zero_shot}
    return Judged(hits | {name: total / times for name, total in sums.items()}, _sharpness(left_out))


def _sharpness(left_out: list[tuple[Tensor, Tensor]]) -> float | None:
    """left_out: scores [n, C] and labels [n]."""
    if not left_out:
        return None
    scores, labels = (torch.cat(part) for part in zip(*left_out, strict=True))
    best: float = min(SHARPNESS, key=lambda factor: float(cross_entropy(factor * scores, labels)))
    return best
