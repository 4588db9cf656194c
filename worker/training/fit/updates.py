"""The optimiser's steps, and everything that they change besides the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.errors import TrainingFailed
from models.classifier.rows import Classifier
from models.fitting.optimizer import build_optimizer, clamp_scale
from models.recognition.video_model import VideoModel
from worker.training.fit.curves import TrainPoint, ValPoint
from worker.training.run.config import Config

MOST_SKIPPED = 20  # steps in a row. GradScaler starts at 2^16 and halves its scale in each skipped step.


@dataclass(slots=True)
class State:
    """Everything that changes during training besides the weights."""

    step: int = 0
    optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    skipped: int = 0  # steps whose loss or gradients were not finite
    micro: int | None = None  # clips in one forward pass that were found to fit, if the configured number did not
    skipped_in_row: int = 0  # of them, those up to the last step
    curve: list[TrainPoint] = field(default_factory=list)  # the loss curve
    checks: list[ValPoint] = field(default_factory=list)  # results on the val split


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """Loss and number of clips of the global batch, and the length of its gradient."""

    loss: float
    clips: float
    norm: float


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
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Drop the gradients: their step was taken or skipped, or is begun again."""
        self.optimizer.zero_grad(set_to_none=True)

    def read(self, found: Tensor) -> StepNumbers:
        """Bound the gradients. found: loss and number of clips of the global batch [2], on the device."""
        self._scaler.unscale_(self.optimizer)
        # The norm of all processes is the same, so they all take the step or all skip it.
        length = torch.nn.utils.clip_grad_norm_(self.parameters, self._recipe.grad_clip or math.inf)
        numbers: list[float] = torch.cat([found, length.reshape(1)]).tolist()  # the only wait for the device in a step
        return StepNumbers(*numbers)

    def step(self, numbers: StepNumbers) -> bool:
        """Take or skip the next step, and count it. Returns whether it was taken. Raises: TrainingFailed."""
        state = self._state
        taken = math.isfinite(numbers.loss) and math.isfinite(numbers.norm)
        if taken:
            self._scaler.step(self.optimizer)
            clamp_scale(self._model, self._recipe, self._start_scale)
            state.skipped_in_row = 0
        else:
            state.skipped += 1
            state.skipped_in_row += 1
        self._scaler.update()
        self.forget()
        if state.skipped_in_row >= self._limit:
            raise TrainingFailed(
                f"The loss or its gradients were not finite in {state.skipped_in_row} steps in a row, up to step "
                f"{state.step}; the loss was {numbers.loss}.",
                hint="Lower the learning rate, or train in bf16 or fp32.",
                step=state.step,
            )
        state.step += 1
        state.optimizer, state.scaler = self.optimizer.state_dict(), self._scaler.state_dict()
        return taken
