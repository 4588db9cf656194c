"""The training loop: it fits the video half to a frozen classifier by plain cross-entropy (method §7).

The text tower is not needed here: W is made once, before the loop. The clips and the learning rate of a step are
functions of its number alone (order.py, models/fitting/schedule.py), so a run that was interrupted and resumed ends
with the same weights as one that was not.
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
from models.image.batch_norms import BatchStatistics
from models.image.precision import DTYPES, autocasting
from models.recognition.video_model import VideoModel
from worker.training.fit.curves import TrainPoint, ValPoint
from worker.training.run.config import Config
from worker.training.run.feeds import Feed, MicroBatch, no_clip_decoded
from worker.training.run.order import Order
from worker.training.run.stop import Stop

CURVE_POINTS = 2000  # at most about as many points of the loss curve are kept
MOST_SKIPPED = 20  # steps in a row. GradScaler starts at 2^16 and halves its scale in each skipped step.


@dataclass(slots=True)
class State:
    """Everything that changes during training besides the weights."""

    step: int = 0
    optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    skipped: int = 0  # steps whose loss or gradients were not finite
    skipped_in_row: int = 0  # of them, those up to the last step
    curve: list[TrainPoint] = field(default_factory=list)  # the loss curve
    checks: list[ValPoint] = field(default_factory=list)  # results on the val split


@dataclass(frozen=True, slots=True)
class StepReport:
    """What the loop reports after each optimiser step."""

    step: int
    steps: int
    epoch: float
    loss: float | None  # None if it was not finite
    lr: float
    samples_per_s: float
    eta_s: float


class Objective(nn.Module):
    """Model and classifier as one module, so that DDP can average the gradients of both."""

    def __init__(self, model: VideoModel, classifier: Classifier, *, from_trunk: bool) -> None:
        super().__init__()
        self.model, self.classifier, self.from_trunk = model, classifier, from_trunk

    def forward(self, batch: MicroBatch, step: int) -> Tensor:
        """The weighted sum of the clips' losses, in float32 whatever autocast says."""
        video = self.model.from_trunk(batch.x) if self.from_trunk else self.model(batch.x)  # [B, d]
        rows = self.classifier.rows(step)  # [C, d]
        with torch.autocast(video.device.type, enabled=False):
            scores = logits(video, rows, self.model.logit_scale)  # [B, C]
            loss: Tensor = (cross_entropy(scores, batch.targets, reduction="none") * batch.weights).sum()
        return loss


class Updates:
    """The optimiser's steps. A loss or gradient that is not finite never reaches the weights: its step is skipped."""

    def __init__(
        self, config: Config, model: VideoModel, classifier: Classifier, state: State, device: torch.device, steps: int
    ) -> None:
        self._recipe, self._model, self._state = config.recipe, model, state
        self._start_scale = float(model.logit_scale.detach().exp())
        self._limit = min(MOST_SKIPPED, steps)
        self.optimizer = build_optimizer(model, classifier, config.recipe, lr=config.lr, tune=config.tune)
        if state.optimizer is not None:
            self.optimizer.load_state_dict(state.optimizer)
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        self._parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, loss: float) -> bool:
        """Take or skip the next step, and count it. loss: of the global batch. Returns whether it was taken. Raises:
        TrainingFailed."""
        state = self._state
        self._scaler.unscale_(self.optimizer)
        # The norm of all processes is the same, so they all take the step or all skip it.
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._recipe.grad_clip or math.inf))
        taken = math.isfinite(loss) and math.isfinite(norm)
        if taken:
            self._scaler.step(self.optimizer)
            clamp_scale(self._model, self._recipe, self._start_scale)
            state.skipped_in_row = 0
        else:
            state.skipped += 1
            state.skipped_in_row += 1
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if state.skipped_in_row >= self._limit:
            raise TrainingFailed(
                f"The loss or its gradients were not finite in {state.skipped_in_row} steps in a row, up to step "
                f"{state.step}; the loss was {loss}.",
                hint="Lower the learning rate, or train in bf16 or fp32.",
                step=state.step,
            )
        state.step += 1
        state.optimizer, state.scaler = self.optimizer.state_dict(), self._scaler.state_dict()
        return taken


def total_steps(config: Config, order: Order) -> int:
    return max(1, round(config.epochs * order.per_epoch))


def fit_encoder(
    config: Config,
    model: VideoModel,
    classifier: Classifier,
    feed: Feed,
    order: Order,
    state: State,
    device: torch.device,
    stop: Stop,
    after_step: Callable[[StepReport, State], None],
) -> None:
    """Continue from `state` to the last step. Every process calls `after_step` after each step, when `state` is
    complete.

    Raises: Stopped between two micro-batches, with `state` as the last complete step left it; TrainingFailed.
    """
    steps = total_steps(config, order)
    objective: nn.Module = Objective(model, classifier, from_trunk=feed.from_trunk)
    updates = Updates(config, model, classifier, state, device, steps)
    if order.world > 1:
        for buffer in objective.buffers():  # once: no step changes them
            torch.distributed.broadcast(buffer, 0)
        objective = DistributedDataParallel(objective, broadcast_buffers=False)
    model.train()
    statistics = BatchStatistics(model)
    clock, decoded = _Clock(steps), _Decoded(order, steps)
    plan = order.steps(state.step, steps)
    micro_batches = feed.stream(picks for groups in order.steps(state.step, steps) for picks in groups)
    for step, groups in zip(range(state.step, steps), plan, strict=True):
        lr = _rate(config, order, step)
        set_lr(updates.optimizer, lr)
        found = torch.zeros(2, device=device)  # the loss, and the number of clips that were decoded
        with statistics.kept_on_error():
            for part in range(len(groups)):
                stop.check()
                batch = next(micro_batches)
                with _synced(objective, last=part == len(groups) - 1), autocasting(device, DTYPES[config.precision]):
                    # Divided by the size of the global batch: accumulation and the number of processes change nothing.
                    share = objective(batch, step) / order.size(step)
                updates.backward(share * order.world)  # DDP takes the mean over processes
                found += torch.stack([share.detach(), batch.weights.sum()])
        value, clips = _sum_over_processes(found, order.world)
        decoded.check(clips)
        if updates.step(value):
            statistics.average(order.world)
        else:
            statistics.restore()
        shown = value if math.isfinite(value) else None
        done = clock.report(state.step, state.step / order.per_epoch, shown, lr, order.size(step))
        if step % max(1, steps // CURVE_POINTS) == 0 or state.step == steps:
            state.curve.append({"step": state.step, "epoch": done.epoch, "loss": shown, "lr": lr})
        after_step(done, state)
    model.eval()


def epochs_ended(before: int, after: int, per_epoch: int) -> Iterator[int]:
    """The epochs that ended with the steps from `before` to `after`."""
    yield from range(before // per_epoch + 1, after // per_epoch + 1)


def _rate(config: Config, order: Order, step: int) -> float:
    """Learning rate of new modules at a step."""
    recipe = config.recipe
    epoch, iteration = divmod(step, order.per_epoch)
    return lr_at(
        fractional_epoch(epoch, iteration, order.per_epoch, recipe.lr_every),
        base=config.lr,
        warmup=recipe.warmup_epochs,
        total=recipe.epochs,
        min_ratio=recipe.min_lr_ratio,
    )


def _synced(objective: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Processes exchange gradients once per step, with its last micro-batch."""
    if isinstance(objective, DistributedDataParallel) and not last:
        context: AbstractContextManager[None] = objective.no_sync()
        return context
    return nullcontext()


def _sum_over_processes(found: Tensor, world: int) -> list[float]:
    """The mean loss of the global batch and its number of clips. Each process has a share of both."""
    if world > 1:
        torch.distributed.all_reduce(found)
    values: list[float] = found.tolist()
    return values


class _Decoded:
    """Notices that no clip can be decoded any more. The rule is the same in all processes."""

    def __init__(self, order: Order, steps: int) -> None:
        self._clips, self._limit = order.clips, min(order.per_epoch, steps)
        self._without = 0  # steps in a row

    def check(self, clips: float) -> None:
        """clips: of a step. Raises: TrainingFailed if there was none in a whole epoch."""
        self._without = 0 if clips else self._without + 1
        if self._without >= self._limit:
            raise no_clip_decoded(self._clips)


class _Clock:
    """Measures speed as a moving average. The first step also waits for the first clips, so it says little."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._last = time.monotonic()
        self._seconds: float | None = None  # per step

    def report(self, step: int, epoch: float, loss: float | None, lr: float, clips: int) -> StepReport:
        now = time.monotonic()
        took, self._last = now - self._last, now
        self._seconds = took if self._seconds is None else 0.9 * self._seconds + 0.1 * took
        left = (self._steps - step) * self._seconds
        return StepReport(step, self._steps, epoch, loss, lr, clips / max(self._seconds, 1e-9), left)
