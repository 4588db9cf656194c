"""What a run says, as metrics. They are kept in the worker: its child has no port, and may be killed at any moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from core.prometheus import JOBS_FINISHED, TRAIN_EVAL, TRAIN_HEARD, TRAIN_LOSS, TRAIN_SPEED, TRAIN_STEP_SECONDS
from core.records import JobState
from worker.children.messages import Message

_REPORTED = ("top1", "top5", "mean_class_accuracy", "map")

for _state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED):
    JOBS_FINISHED.labels("training", _state)  # from 0 on: an alert cannot see an increase to a first 1 out of nothing


class Watch:
    """One attempt at one run."""

    def __init__(self, model: str | None) -> None:
        """model: the name that gets a new version; None for an evaluation, of which only signs of life are kept."""
        self._model = model
        self._step: tuple[int, float] | None = None  # the last that was heard of, and when

    def hear(self, message: Message) -> None:
        name, data = message["name"], message["data"]
        TRAIN_HEARD.set(time.time())
        if self._model is None:
            return
        if name == "progress" and data["phase"] == "training":
            self._take_step(self._model, data)
        elif name == "metric" and data["split"] == "val":
            _take_numbers(self._model, {f"val_{metric}": data.get(metric) for metric in ("loss", "top1")})

    def end(self) -> None:
        """However the attempt ended."""
        TRAIN_HEARD.set(0)
        if self._model is not None:
            TRAIN_SPEED.set(0)

    def _take_step(self, model: str, data: Mapping[str, Any]) -> None:
        """Steps that follow each other closely are told of together: each took its share of the time."""
        step, now = int(data["step"]), time.monotonic()
        TRAIN_LOSS.labels(model).set(data["loss"])
        TRAIN_SPEED.set(data["samples_per_s"])
        if self._step is not None:
            last, then = self._step
            for _ in range(step - last):
                TRAIN_STEP_SECONDS.observe((now - then) / (step - last))
        self._step = step, now


def judged(model: str, numbers: Mapping[str, Any] | None) -> None:
    """What the report of a new version says; None where there was no clip to judge by."""
    _take_numbers(model, {metric: (numbers or {}).get(metric) for metric in _REPORTED})


def _take_numbers(model: str, numbers: Mapping[str, float | None]) -> None:
    for metric, value in numbers.items():
        if value is not None:
            TRAIN_EVAL.labels(model, metric).set(value)
