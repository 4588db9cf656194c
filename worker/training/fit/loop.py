"""The training loop. It gets what is trained and the objective, and knows neither methods nor losses.

The clips and the learning rate of a step are functions of its number alone (order.py, models/fitting/schedule.py), so a
run that was interrupted and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from models.classifier.rows import Classifier
from models.fitting.objectives import Objective
from models.fitting.optimizer import set_lr
from models.fitting.schedule import fractional_epoch, lr_at
from models.image.batch_norms import BatchStatistics
from models.image.precision import DTYPES
from models.recognition.video_model import VideoModel
from worker.training.fit.exchange import share_start, sum_gradients, sum_numbers
from worker.training.fit.gradients import StepGradients
from worker.training.fit.supply import Supply
from worker.training.fit.updates import State, Updates
from worker.training.run.config import Config
from worker.training.run.feeds import Feed, no_clip_decoded
from worker.training.run.order import Order
from worker.training.run.stop import Stop

CURVE_POINTS = 2000  # at most about as many points of the loss curve are kept


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


def total_steps(config: Config, order: Order) -> int:
    return max(1, round(config.epochs * order.per_epoch))


def fit_encoder(
    config: Config,
    model: VideoModel,
    classifier: Classifier,
    objective: Objective,
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
    updates = Updates(config, model, classifier, state, device, steps)
    share_start((model, classifier), order.world)
    model.train()
    compute = DTYPES[config.precision]
    gradients = StepGradients(model, classifier, objective, feed.from_trunk, device, compute, order.rank, order.world)
    statistics = BatchStatistics(model)
    clock, decoded = _Clock(steps), _Decoded(order, steps)
    supply = Supply(feed, order, state, steps, divides=_divides(objective, statistics, order.world))
    for step in range(state.step, steps):
        lr = _rate(config, order, step)
        set_lr(updates.optimizer, lr)
        with statistics.kept_on_error():
            accumulate = partial(gradients.accumulate, step, size=order.size(step), backward=updates.backward)
            found = supply.step(accumulate, updates.forget, device, stop)
        sum_gradients(updates.parameters, order.world)
        numbers = updates.read(sum_numbers(found, order.world))
        decoded.check(numbers.clips)
        if updates.step(numbers):
            statistics.average(order.world)
        else:
            statistics.restore()
        shown = numbers.loss if math.isfinite(numbers.loss) else None
        done = clock.report(state.step, state.step / order.per_epoch, shown, lr, order.size(step))
        if step % max(1, steps // CURVE_POINTS) == 0 or state.step == steps:
            state.curve.append({"step": state.step, "epoch": done.epoch, "loss": shown, "lr": lr})
        after_step(done, state)
    model.eval()


def _divides(objective: Objective, statistics: BatchStatistics, world: int) -> bool:
    """Whether micro-batches of another size give the same result, and one process can begin a step again while others
    have not failed: a loss over the whole batch makes them wait for each other within it."""
    return not statistics.collected and (world == 1 or not objective.whole_batch)


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
        whole_cosine=recipe.whole_cosine,
    )


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
