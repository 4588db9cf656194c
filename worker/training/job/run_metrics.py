"""A run's messages as Prometheus metrics. The worker keeps them, because its child has no port and may be killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from core.prometheus import (
    GPU_MEMORY,
    JOBS_FINISHED,
    TRAIN_EVAL,
    TRAIN_HEARD,
    TRAIN_LOSS,
    TRAIN_SPEED,
    TRAIN_STEP_SECONDS,
)
from core.records import JobState
from worker.children.messages import Message

_REPORTED = ("top1", "top5", "mean_class_accuracy", "map")

for _state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED):
    JOBS_FINISHED.labels(
        "training", _state
    )  # start at 0: an alert on an increase cannot see a series appear with the value 1


class RunMetrics:
    """The metrics of one attempt at one run."""

    def __init__(self, model: str | None) -> None:
        """model: the name that gets a new version; None for an evaluation, which only shows that it is alive."""
        self._model = model
        self._last_step: tuple[int, float] | None = None  # its number, and when its message arrived

    def observe(self, message: Message) -> None:
        name, data = message["name"], message["data"]
        TRAIN_HEARD.set(time.time())
        if name == "gpu_memory":
            for kind in ("used", "total"):
                GPU_MEMORY.labels(data["device"], kind).set(data[kind])
        if self._model is None:
            return
        if name == "progress" and data["phase"] == "training":
            self._observe_step(self._model, data)
        elif name == "metric" and data["split"] == "val":
            _set_eval(self._model, {f"val_{metric}": data.get(metric) for metric in ("loss", "top1")})

    def end(self) -> None:
        """Must be called however the attempt ends."""
        TRAIN_HEARD.set(0)
        if self._model is not None:
            TRAIN_SPEED.set(0)

    def _observe_step(self, model: str, data: Mapping[str, Any]) -> None:
        """A message may cover several quick steps; each then counts with an equal share of the time."""
        if "samples_per_s" not in data:  # the closed form has no steps to time
            return
        step, now = int(data["step"]), time.monotonic()
        if data["loss"] is not None:
            TRAIN_LOSS.labels(model).set(data["loss"])
        TRAIN_SPEED.set(data["samples_per_s"])
        if self._last_step is not None:
            last, then = self._last_step
            for _ in range(step - last):
                TRAIN_STEP_SECONDS.observe((now - then) / (step - last))
        self._last_step = step, now


def record_report(model: str, numbers: Mapping[str, Any] | None) -> None:
    """The numbers of a new version's report; None if there was no clip to evaluate it on."""
    _set_eval(model, {metric: (numbers or {}).get(metric) for metric in _REPORTED})


def _set_eval(model: str, numbers: Mapping[str, float | None]) -> None:
    for metric, value in numbers.items():
        if value is not None:
            TRAIN_EVAL.labels(model, metric).set(value)
