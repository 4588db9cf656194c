"""The gradients of one step, accumulated over its micro-batches.

W is computed once per step. The micro-batches leave their gradients at its rows, and one backward pass takes their sum
on to whatever W is made of: the cost is that of one text pass, whatever the accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.classifier.rows import Classifier
from models.fitting.objectives import Objective, Targets
from models.image.precision import autocasting
from models.recognition.video_model import VideoModel
from worker.training.run.feeds import MicroBatch

Backward = Callable[[Tensor], None]
"""Takes a loss back to the parameters, scaled if the precision needs it."""


@dataclass(frozen=True, slots=True)
class StepGradients:
    model: VideoModel
    classifier: Classifier
    objective: Objective
    from_trunk: bool  # whether micro-batches hold outputs of the trunk
    device: torch.device
    compute: torch.dtype  # of autocast

    def accumulate(self, step: int, batches: Iterable[MicroBatch], size: int, backward: Backward) -> Tensor:
        """size: clips in the global batch, so that accumulation and the number of processes change nothing. → this
        process's share of the mean loss, and its number of decoded clips: float32 [2]."""
        found = torch.zeros(2, device=self.device)
        with self._autocast():
            rows = self.classifier.rows(step)  # [C, d]
        leaf = rows.detach().requires_grad_(rows.requires_grad)
        for batch in batches:
            with self._autocast():
                share = self.loss(batch, leaf) / size
            backward(share)
            found += torch.stack([share.detach(), batch.weights.sum()])
        if leaf.grad is not None:
            torch.autograd.backward(rows, leaf.grad)
        return found

    def loss(self, batch: MicroBatch, rows: Tensor) -> Tensor:
        """The weighted sum of the clips' losses. rows: unit, [C, d]."""
        targets = Targets(batch.targets, batch.weights, batch.others, batch.shares)
        return self.objective(self.video(batch), targets, rows, self.model.logit_scale)

    def video(self, batch: MicroBatch) -> Tensor:
        """→ what the objective reads of the clips: [B, d], or [B, T, d]."""
        if self.objective.reads_frames:
            return self.model.frames_from_trunk(batch.x if self.from_trunk else self.model.trunk(batch.x))
        video: Tensor = self.model.from_trunk(batch.x) if self.from_trunk else self.model(batch.x)
        return video

    def _autocast(self) -> AbstractContextManager[Any]:
        return autocasting(self.device, self.compute)
