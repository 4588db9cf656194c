"""The gradients of one step, accumulated over its micro-batches.

W is computed once per step. The micro-batches leave their gradients at its rows, and one backward pass takes their sum
on to whatever W is made of: the cost is that of one text pass, whatever the accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.classifier.rows import Classifier
from models.fitting.objectives import Objective, Targets
from models.image.batch_norms import collecting_paused
from models.image.precision import autocasting
from models.recognition.video_model import VideoModel
from worker.training.fit.exchange import gather_rows
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
    rank: int = 0
    world: int = 1

    def accumulate(self, step: int, batches: Iterable[MicroBatch], size: int, backward: Backward) -> Tensor:
        """size: clips in the global batch, so that accumulation and the number of processes change nothing. → this
        process's share of the mean loss, and its number of decoded clips: float32 [2]."""
        with self._autocast():
            rows = self.classifier.rows(step)  # [C, d]
        leaf = rows.detach().requires_grad_(rows.requires_grad)
        found = (self._whole if self.objective.whole_batch else self._apart)(batches, leaf, size, backward)
        if leaf.grad is not None:
            torch.autograd.backward(rows, leaf.grad)
        return found

    def _apart(self, batches: Iterable[MicroBatch], rows: Tensor, size: int, backward: Backward) -> Tensor:
        """Each micro-batch by itself."""
        found = torch.zeros(2, device=self.device)
        for batch in batches:
            with self._autocast():
                share = self.loss(batch, rows) / size
            backward(share)
            found += torch.stack([share.detach(), batch.weights.sum()])
        return found

    def _whole(self, batches: Iterable[MicroBatch], rows: Tensor, size: int, backward: Backward) -> Tensor:
        """The loss of all clips of the step, in all processes. Vectors are gathered without gradient. Every process
        computes the whole loss, and takes the gradient at its own clips on through the tower.

        The clips of several micro-batches are encoded twice: first all of them without a graph, and then each again, to
        take its gradient on (Gao et al. 2021). So memory holds the graph of one micro-batch, and the pixels of all.
        """
        parts = list(batches)
        first = [self._encoded(batch, graph=len(parts) == 1) for batch in parts]  # each [B, d]
        own, weights = torch.cat(first), torch.cat([batch.weights for batch in parts])
        video, at = gather_rows(own, self.rank, self.world)  # [N, d]
        labels, _ = gather_rows(torch.cat([batch.targets for batch in parts]), self.rank, self.world)  # [N]
        counted, _ = gather_rows(weights, self.rank, self.world)  # [N]
        video.requires_grad_()
        scale = self.model.logit_scale.detach().requires_grad_()
        loss = self.objective(video, Targets(labels, counted), rows, scale) / size
        backward(loss)
        assert video.grad is not None
        assert scale.grad is not None
        self._take_back(parts, first, video.grad[at : at + len(own)])
        # Every process has the gradients of the whole loss at W and s, which are summed over processes afterwards.
        if rows.grad is not None:
            rows.grad /= self.world
        if self.model.logit_scale.requires_grad:
            self.model.logit_scale.grad = scale.grad / self.world
        return torch.stack([loss.detach() / self.world, weights.sum()])

    def _take_back(self, parts: Sequence[MicroBatch], first: Sequence[Tensor], gradient: Tensor) -> None:
        """gradient: at this process's vectors [n, d]."""
        for batch, video, part in zip(parts, first, torch.split(gradient, [len(each) for each in first]), strict=True):
            again = video if len(parts) == 1 else self._encoded(batch, graph=True)
            if again.requires_grad:
                torch.autograd.backward(again, part)

    def _encoded(self, batch: MicroBatch, *, graph: bool) -> Tensor:
        """→ [B, d], float32. graph: whether a backward pass follows; statistics of batch norms are collected then."""
        with ExitStack() as context:
            context.enter_context(self._autocast())
            if not graph:
                context.enter_context(torch.no_grad())
                context.enter_context(collecting_paused(self.model))
            return self.video(batch).float()

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
