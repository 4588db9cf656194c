"""What training minimises. The loop gets an objective and knows nothing else about the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, normalize

from core.vocabulary import Contrast, Fusion
from models.classifier.rows import logits


@dataclass(frozen=True, slots=True)
class Targets:
    """labels: int64 [B], rows of W; weights: float32 [B], 0 for a clip that must not count."""

    labels: Tensor
    weights: Tensor
    others: Tensor | None = None  # int64 [B], of the clips that they are mixed with
    shares: Tensor | None = None  # float32 [B], of each clip itself


class Objective(Protocol):
    @property
    def whole_batch(self) -> bool:
        """Whether the loss of a clip depends on the other clips of the global batch, so that it needs all of them."""

    @property
    def reads_frames(self) -> bool:
        """Whether it reads the vectors of frames [B, T, d] instead of those of videos."""

    def __call__(self, video: Tensor, targets: Targets, rows: Tensor, log_scale: Tensor) -> Tensor:
        """video: [B, d], un-normalised, or [B, T, d]; rows: unit, [C, d]; log_scale: s → the weighted sum of the clips'
        losses, in float32 whatever autocast says."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Cross-entropy over all classes (method §7). Clips of a batch do not matter to each other, unless they are mixed.

    fusion: `embedding` reads un-normalised vectors, `decision` means of unit vectors, whose products are the means of
    the frames' logits, `image` the vectors of frames. smoothing: off-value s/C, on-value 1 - s + s/C (method §12).
    """

    fusion: Fusion = "embedding"
    smoothing: float = 0.0

    @property
    def whole_batch(self) -> bool:
        return False

    @property
    def reads_frames(self) -> bool:
        return self.fusion == "image"

    def __call__(self, video: Tensor, targets: Targets, rows: Tensor, log_scale: Tensor) -> Tensor:
        with torch.autocast(video.device.type, enabled=False):
            scores = logits(video, rows, log_scale, unit=self.fusion != "decision")  # [B, C] or [B, T, C]
            losses = self._losses(scores, targets.labels)  # [B]
            if targets.others is not None and targets.shares is not None:
                losses = torch.lerp(self._losses(scores, targets.others), losses, targets.shares)
            return (losses * targets.weights).sum()

    def _losses(self, scores: Tensor, labels: Tensor) -> Tensor:
        """scores: [B, C], or [B, T, C] → [B], the means over frames."""
        per_frame = scores.flatten(1, -2) if scores.dim() == 3 else scores.unsqueeze(1)  # [B, T, C]
        repeated = labels.unsqueeze(1).expand(per_frame.shape[:2])  # [B, T]
        found = cross_entropy(per_frame.transpose(1, 2), repeated, reduction="none", label_smoothing=self.smoothing)
        return found.mean(dim=1)  # [B, T] → [B]


SHARPNESS = 10.0  # of the targets that clips of a class share: softmax(10 · same), T4V train_nce.py


@dataclass(frozen=True, slots=True)
class Contrastive:
    """The clips of a batch against the texts of their classes, and the texts against the clips (method §13).

    `kl`: the divergence from softmax(10 · same), in which clips of the same class share their target. Its `mean` times
    the batch size, as in the code, is the mean over clips. `ce`: cross-entropy with one match per clip; other clips of
    its class count as wrong.
    """

    contrast: Contrast = "kl"

    @property
    def whole_batch(self) -> bool:
        return True

    @property
    def reads_frames(self) -> bool:
        return False

    def __call__(self, video: Tensor, targets: Targets, rows: Tensor, log_scale: Tensor) -> Tensor:
        """→ the sum over clips of the mean of both directions."""
        with torch.autocast(video.device.type, enabled=False):
            counts = targets.weights > 0
            labels = targets.labels[counts]  # [N]
            scores = logits(video[counts], normalize(rows[labels].float(), dim=-1), log_scale)  # [N, N]
            return (self._sum(scores, labels) + self._sum(scores.T, labels)) / 2

    def _sum(self, scores: Tensor, labels: Tensor) -> Tensor:
        """scores: [N, N] → the sum over rows."""
        if self.contrast == "ce":
            return cross_entropy(scores, torch.arange(len(scores), device=scores.device), reduction="sum")
        same = (labels.unsqueeze(1) == labels).float()  # [N, N]
        return kl_div(scores.log_softmax(dim=1), (SHARPNESS * same).softmax(dim=1), reduction="sum")
