"""The heads: nearest class mean, ridge regression and linear discriminant analysis. Each is linear in the features.

All are fitted as if every class had equally many clips (a user's dataset says nothing about how often a class will be
asked for), and in float64. They do not change when the features are rotated, so they may be fitted in the span of the
clips (`Span`), which has at most as many dimensions as there are clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

HeadName = Literal["ncm", "ridge", "lda"]

STRENGTHS: Final = tuple(10.0 ** (power / 2) for power in range(-6, 7))
"""Of ridge, in units of the mean eigenvalue of the features' scatter."""

USUAL_STRENGTH: Final = 1.0  # where every class has one clip: leaving it out would leave its class without any


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores = features · weight + bias. weight: [F, C]; bias: [C]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """[n, F] → [n, C]."""
        return features @ self.weight + self.bias


@dataclass(frozen=True, slots=True)
class Span:
    """The affine span of some clips' features. centre: [F]; basis: orthonormal columns [F, r]."""

    centre: Tensor
    basis: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Span:
        """features: [n, F]."""
        x = features.double()
        centre = x.mean(dim=0)
        x = x - centre
        if len(x) > x.shape[1]:
            return cls(centre, torch.eye(x.shape[1], dtype=x.dtype))
        values, vectors = torch.linalg.eigh(x @ x.T)  # [n], [n, n]
        kept = values > values[-1].clamp_min(1e-300) * 1e-10
        return cls(centre, (x.T @ vectors[:, kept]) / values[kept].sqrt())  # [F, r]

    def project(self, features: Tensor) -> Tensor:
        """[n, F] → coordinates [n, r]."""
        return (features.double() - self.centre) @ self.basis

    def lift(self, head: Linear) -> Linear:
        """A head on coordinates → the same head on features."""
        weight = self.basis @ head.weight  # [F, C]
        return Linear(weight, head.bias - self.centre @ weight)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """The weight of each clip [n], so that every class that occurs weighs the same; their sum is 1."""
    counts = torch.bincount(labels, minlength=classes).double()  # [C]
    weights = 1 / counts[labels]
    return weights / weights.sum()


def class_means(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """[n, r] → [C, r]."""
    sums = torch.zeros(classes, x.shape[1], dtype=x.dtype).index_add_(0, labels, x)
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    return sums / counts[:, None]


def nearest_mean(x: Tensor, labels: Tensor, classes: int) -> Linear:
    means = class_means(x, labels, classes)  # [C, r]
    return Linear(means.T, -means.square().sum(dim=1) / 2)


def ridge(x: Tensor, labels: Tensor, classes: int) -> Linear:
    """Onto one-hot targets. The strength has the smallest squared error when each clip is left out in turn."""
    targets = torch.nn.functional.one_hot(labels, classes).double()  # [n, C]
    weights = class_weights(labels, classes)
    root = weights.sqrt()[:, None]  # [n, 1]
    centre, middle = weights @ x, weights @ targets  # [r], [C]
    u, s, vh = torch.linalg.svd(root * (x - centre), full_matrices=False)  # [n, k], [k], [k, r]
    y = root * (targets - middle)  # [n, C]
    projected = u.T @ y  # [k, C]
    unit = s.square().mean().clamp_min(1e-300)
    strength = unit * USUAL_STRENGTH
    if torch.bincount(labels, minlength=classes).max() > 1:
        errors: list[Tensor] = []
        for candidate in STRENGTHS:
            shrink = s.square() / (s.square() + unit * candidate)  # [k]
            left = 1 - (u.square() @ shrink) - weights  # [n]: also the centre is estimated without the clip
            errors.append(((y - u @ (shrink[:, None] * projected)) / left.clamp_min(1e-9)[:, None]).square().sum())
        strength = unit * STRENGTHS[int(torch.stack(errors).argmin())]
    weight = vh.T @ ((s / (s.square() + strength))[:, None] * projected)  # [r, C]
    return Linear(weight, middle - centre @ weight)


def lda(x: Tensor, labels: Tensor, classes: int) -> Linear:
    """With Ledoit and Wolf's (2004) shrinkage of the covariance within the classes. Raises: ValueError if no class has
    two clips."""
    if int(torch.bincount(labels, minlength=classes).max()) < 2:
        raise ValueError("LDA learns how clips of one class differ, so it needs a class with two or more clips")
    means = class_means(x, labels, classes)  # [C, r]
    deviations = x - means[labels]  # [n, r]
    count, width = deviations.shape
    covariance = deviations.T @ deviations / count  # [r, r]
    mean_variance = covariance.diagonal().mean().clamp_min(1e-300)
    spread = covariance.square().sum()  # in far more dimensions than clips, the target adds nothing to it
    noise = (deviations.square().sum(dim=1).square().mean() - covariance.square().sum()) / count
    shrinkage = float((noise / spread.clamp_min(1e-300)).clamp(1e-6, 1.0))
    identity = torch.eye(width, dtype=x.dtype)
    shrunk = (1 - shrinkage) * covariance + shrinkage * mean_variance * identity
    weight = torch.linalg.solve(shrunk, means.T)  # [r, C]
    return Linear(weight, -(means.T * weight).sum(dim=0) / 2)


HEADS: Final[dict[HeadName, Callable[[Tensor, Tensor, int], Linear]]] = {
    "ncm": nearest_mean,
    "ridge": ridge,
    "lda": lda,
}
"""Name → its fit: coordinates float64 [n, r], labels int64 [n] and the number of classes C → the head."""

NEEDS_TWO: Final[frozenset[HeadName]] = frozenset({"lda"})
"""Heads that need a class with two clips."""


def usable_heads(labels: Tensor) -> tuple[HeadName, ...]:
    """labels: int64 [n]. All heads, or those that need no class with two clips."""
    enough = int(torch.bincount(labels).max()) > 1
    return tuple(name for name in HEADS if enough or name not in NEEDS_TWO)
