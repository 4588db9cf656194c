"""What training minimises. The loop gets an objective and knows nothing else about the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.classifier.rows import logits


@dataclass(frozen=True, slots=True)
class Targets:
    """labels: int64 [B], rows of W; weights: float32 [B], 0 for a clip that must not count."""

    labels: Tensor
    weights: Tensor


class Objective(Protocol):
    def __call__(self, video: Tensor, targets: Targets, rows: Tensor, log_scale: Tensor) -> Tensor:
        """video: [B, d], un-normalised; rows: unit, [C, d]; log_scale: s → the weighted sum of the clips' losses, in
        float32 whatever autocast says."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Plain cross-entropy over all classes (method §7). The clips of a batch do not matter to each other."""

    def __call__(self, video: Tensor, targets: Targets, rows: Tensor, log_scale: Tensor) -> Tensor:
        with torch.autocast(video.device.type, enabled=False):
            scores = logits(video, rows, log_scale)  # [B, C]
            loss: Tensor = (cross_entropy(scores, targets.labels, reduction="none") * targets.weights).sum()
        return loss
