"""The training loop, top to bottom: an encoder is fitted to a frozen classifier by plain cross-entropy (method §7).

The text tower is not here: W is made before, once. What a step sees and at which rate is a function of its number
alone (order.py, models/fitting/schedule.py), so a run that was interrupted anywhere ends with the weights of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from core.errors import TrainingFailed
from models.classifier.rows import Classifier, logits
from models.fitting.optimizer import build_optimizer, clamp_scale, set_lr
from models.fitting.schedule import fractional_epoch, lr_at
from models.image.precision import DTYPES, autocasting
from models.recognition.video_model import VideoModel
from worker.training.result.plots import TrainPoint, ValPoint
from worker.training.run.config import Config
from worker.training.run.feeds import Feed, MicroBatch
from worker.training.run.order import Order
from worker.training.run.stop import Stop

CURVE_POINTS = 2000  # of the loss curve that is kept


@dataclass(slots=True)
class State:
    """All that changes while training; a checkpoint is this, complete."""

    step: int = 0
    optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    curve: list[TrainPoint] = field(default_factory=list)  # the loss curve
    checks: list[ValPoint] = field(default_factory=list)  # how the val split does


@dataclass(frozen=True, slots=True)
class Step:
    """What can be said after one optimiser step."""

    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    samples_per_s: float
    eta_s: float


class Objective(nn.Module):
    """Model and classifier as one module, so that several processes can share its gradients."""

    def __init__(self, model: VideoModel, classifier: Classifier, *, from_trunk: bool) -> None:
        super().__init__()
        self.model, self.classifier, self.from_trunk = model, classifier, from_trunk

    def forward(self, batch: MicroBatch, step: int) -> Tensor:
        """The weighted sum of the clips' losses."""
        video = self.model.from_trunk(batch.x) if self.from_trunk else self.model(batch.x)  # [B, d]
        scores = logits(video, self.classifier.rows(step), self.model.logit_scale)  # [B, C]
        loss: Tensor = (cross_entropy(scores, batch.targets, reduction="none") * batch.weights).sum()
        return loss


def steps_in(config: Config, order: Order) -> int:
    return max(1, round(config.epochs * order.per_epoch))


def train(
    config: Config,
    model: VideoModel,
    classifier: Classifier,
    feed: Feed,
    order: Order,
    state: State,
    device: torch.device,
    stop: Stop,
    after_step: Callable[[Step, State], None],
) -> None:
    """Go on from `state` to the end. `after_step` is told of every step, in every process; `state` is complete then.

    Raises: Stopped between two micro-batches, with `state` as the last complete step left it; TrainingFailed.
    """
    recipe, steps = config.recipe, steps_in(config, order)
    objective: nn.Module = Objective(model, classifier, from_trunk=feed.from_trunk)
    start_scale = float(model.logit_scale.detach().exp())
    optimizer = build_optimizer(model, classifier, recipe, lr=config.lr, tune=config.tune)
    if state.optimizer is not None:
        optimizer.load_state_dict(state.optimizer)
    scaler = torch.amp.GradScaler(enabled=config.precision == "fp16")
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if order.world > 1:
        objective = DistributedDataParallel(objective)
    model.train()
    clock = _Clock(steps)
    plan = order.steps(state.step, steps)
    micro_batches = feed.stream(picks for step_of in order.steps(state.step, steps) for picks in step_of)
    for step, step_of in zip(range(state.step, steps), plan, strict=True):
        epoch, iteration = divmod(step, order.per_epoch)
        where = fractional_epoch(epoch, iteration, order.per_epoch, recipe.lr_every)
        lr = lr_at(
            where, base=config.lr, warmup=recipe.warmup_epochs, total=recipe.epochs, min_ratio=recipe.min_lr_ratio
        )
        set_lr(optimizer, lr)
        loss = torch.zeros((), device=device)
        for part in range(len(step_of)):
            stop.check()
            batch = next(micro_batches)
            with _together(objective, last=part == len(step_of) - 1), autocasting(device, DTYPES[config.precision]):
                # Divided by the global batch, whatever part of it is here: accumulation and processes change nothing.
                share = objective(batch, step) / order.size(step)
            scaler.scale(share * order.world).backward()  # DDP takes the mean over processes
            loss += share.detach()
        value = _everywhere(loss, order.world)
        if not math.isfinite(value) and not scaler.is_enabled():
            raise TrainingFailed(f"The loss is {value} at step {step}.", hint="Lower the learning rate.", step=step)
        scaler.unscale_(optimizer)
        if recipe.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, recipe.grad_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        clamp_scale(model, recipe, start_scale)
        state.step = step + 1
        state.optimizer, state.scaler = optimizer.state_dict(), scaler.state_dict()
        done = clock.tell(state.step, state.step / order.per_epoch, value, lr, order.size(step))
        if step % max(1, steps // CURVE_POINTS) == 0 or state.step == steps:
            state.curve.append({"step": state.step, "epoch": done.epoch, "loss": value, "lr": lr})
        after_step(done, state)
    model.eval()


def _together(objective: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Processes exchange gradients once per step, with its last micro-batch."""
    if isinstance(objective, DistributedDataParallel) and not last:
        context: AbstractContextManager[None] = objective.no_sync()
        return context
    return nullcontext()


def _everywhere(loss: Tensor, world: int) -> float:
    """The sum over processes: the mean loss of the global batch."""
    if world > 1:
        torch.distributed.all_reduce(loss)
    return float(loss)


class _Clock:
    """Speed over the last steps; the first, which waits for the first clips, tells little."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._last = time.monotonic()
        self._seconds: float | None = None  # per step

    def tell(self, step: int, epoch: float, loss: float, lr: float, clips: int) -> Step:
        now = time.monotonic()
        took, self._last = now - self._last, now
        self._seconds = took if self._seconds is None else 0.9 * self._seconds + 0.1 * took
        left = (self._steps - step) * self._seconds
        return Step(step, self._steps, epoch, loss, lr, clips / max(self._seconds, 1e-9), left)


def epochs_ended(before: int, after: int, per_epoch: int) -> Iterator[int]:
    """Epochs that came to their end with the steps from `before` to `after`."""
    yield from range(before // per_epoch + 1, after // per_epoch + 1)
