"""Clouds of features around class means, and videos that know a little about them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Clouds:
    features: Tensor
    videos: Tensor
    labels: Tensor
    rows: Tensor


def clouds(per_class: int, classes: int = 3, *, spread: float = 1.0, hint: float = 0.0, seed: int = 0) -> Clouds:
    """hint: how much of its class's row a video has."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    labels = torch.arange(classes).repeat_interleave(per_class)
    means = torch.eye(classes, 40) * 4 + 10
    rows = normalize(normal(classes, 16), dim=1)
    videos = normal(len(labels), 16) + hint * rows[labels]
    return Clouds(means[labels] + spread * normal(len(labels), 40), videos, labels, rows)


@pytest.fixture
def made() -> Clouds:
    return clouds(8, hint=1.0)
