"""The fit of `default` for small data: a blend of the base's own scores with those of heads, (1 − m) · z + m · h.

Both parts are brought to the same length over the clips. m follows from what is known without any fitting: K clips per
class against the base's own skill on them, which counts like that many clips of each class (benchmarks/NOTES.md has the
candidates that lost).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.heads.linear import HEADS, HeadName, Linear, Span, class_weights, usable_heads

MOST_SHARE: Final = 0.95  # of the heads: the base's own scores are never lost
OWN_PRIOR: Final = 0.5  # how much of what the base prefers whatever it sees is removed


@dataclass(frozen=True, slots=True)
class Blend:
    """head: on coordinates of the span, of unit length; offset: [C], subtracted from z; length: of z; share: m; skill:
    of the base on the clips, from 0 (chance) to 1; names: of the heads, whose mean is `head`."""

    head: Linear
    offset: Tensor
    length: float
    share: float
    skill: float
    names: tuple[HeadName, ...]

    @classmethod
    def fit(cls, x: Tensor, own: Tensor, labels: Tensor) -> Blend:
        """x: [n, r]; own: z [n, C]; labels: int64 [n], with a clip of every class."""
        classes = own.shape[1]
        weights = class_weights(labels, classes)
        preferred = weights @ centred(own)  # [C]
        skill = _skill(own, labels, weights)
        clips = len(labels) / classes
        names: tuple[HeadName, ...] = ("lda",) if "lda" in usable_heads(labels) else ("ncm", "ridge")
        parts = [_unit(HEADS[name](x, labels, classes), x, weights) for name in names]
        head = Linear(
            torch.stack([part.weight for part in parts]).mean(dim=0), torch.stack([p.bias for p in parts]).mean(dim=0)
        )
        return cls(
            head=head,
            offset=OWN_PRIOR * preferred,
            length=_length(centred(own), weights),
            share=min(MOST_SHARE, clips / (clips + skill)),
            skill=skill,
            names=names,
        )

    def added(self, x: Tensor) -> Tensor:
        """What must be added to z [n, C] so that the sum is the blend, times length / (1 − m)."""
        ratio = self.share / (1 - self.share) * self.length
        return ratio * self.head(x) - self.offset

    def __call__(self, x: Tensor, own: Tensor) -> Tensor:
        """Scores [n, C], of about unit length."""
        return (1 - self.share) / self.length * (centred(own) + self.added(x))


def centred(scores: Tensor) -> Tensor:
    """[…, C] → the same with mean 0 over the classes."""
    return scores - scores.mean(dim=-1, keepdim=True)


def own_scores(videos: Tensor, rows: Tensor) -> Tensor:
    """videos: v [n, d], un-normalised; rows: unit [C, d] → z [n, C]. Every video is divided by the same mean length:
    what is added to videos must not depend on the length of one of them."""
    return videos.double() @ rows.double().T / mean_length(videos)


def mean_length(videos: Tensor) -> float:
    return float(videos.double().norm(dim=1).mean()) or 1.0


@dataclass(frozen=True, slots=True)
class Coordinates:
    """What a fit adds to videos: f · weight + bias, weight [F, C], bias [C], float32; and exp(s), with which the
    probabilities of the trained classes are right on clips that were left out. blend: where they come from."""

    weight: Tensor
    bias: Tensor
    scale: float
    blend: Blend


def fit_coordinates(
    features: Tensor, videos: Tensor, labels: Tensor, rows: Tensor, *, row_length: float, sharpness: float
) -> Coordinates:
    """Coordinates to append to videos; the row of class c has `row_length` at coordinate c. The scores of these rows
    are then the blend's, whatever the cosines between them, and rows without these coordinates score as before.

    features: f [n, F]; videos: v [n, d]; labels: int64 [n]; rows: unit [C, d]; sharpness: logits per score of the
    blend.
    """
    span, own, length = Span.of(features), own_scores(videos, rows), mean_length(videos)
    blend = Blend.fit(span.project(features), own, labels)
    lifted = span.lift(blend.head)
    unit = length / row_length
    ratio = blend.share / (1 - blend.share) * blend.length
    weight = unit * ratio * centred(lifted.weight)  # [F, C]
    bias = unit * (ratio * centred(lifted.bias) - blend.offset)  # [C]
    added = features.double() @ weight + bias  # [n, C]
    whole = float((videos.double().square().sum(dim=1) + added.square().sum(dim=1)).sqrt().mean())
    scale = sharpness * (1 - blend.share) / (blend.length * length) * whole * math.sqrt(1 + row_length**2)
    return Coordinates(weight.float(), bias.float(), scale, blend)


def _skill(own: Tensor, labels: Tensor, weights: Tensor) -> float:
    """The accuracy of z above chance, from 0 to 1. It is shrunk towards chance by one clip per class."""
    count, classes = own.shape
    hits = float((weights * (own.argmax(dim=1) == labels)).sum())
    accuracy = (hits * count + 1) / (count + classes)
    return max(0.0, (accuracy - 1 / classes) / (1 - 1 / classes))


def _unit(head: Linear, x: Tensor, weights: Tensor) -> Linear:
    length = _length(centred(head(x)), weights)
    return Linear(head.weight / length, head.bias / length)


def _length(scores: Tensor, weights: Tensor) -> float:
    """Root mean square of scores [n, C] around their mean over the clips."""
    rest = scores - weights @ scores
    return float((weights @ rest.square().mean(dim=1)).sqrt()) or 1.0
