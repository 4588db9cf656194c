"""A run's messages become metrics, and a run that has ended leaves no sign of life."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from worker.children.messages import Message, MessageName
from worker.training.job.run_metrics import Watch, judged


def said(name: MessageName, **data: Any) -> Message:
    return {"name": name, "data": data}


def step(number: int, loss: float = 0.5) -> Message:
    return said("progress", phase="training", step=number, loss=loss, samples_per_s=12.0)


def value(name: str, /, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_steps_that_are_told_together_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 14.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    steps, seconds = value("vireo_train_step_seconds_count") or 0, value("vireo_train_step_seconds_sum") or 0
    run = Watch("gym")
    for number in (7, 11, 12):  # the first after a resume: how long it took is not known
        run.hear(step(number))
    assert value("vireo_train_step_seconds_count") == steps + 5
    assert value("vireo_train_step_seconds_sum") == pytest.approx(seconds + 4.5)
    assert (value("vireo_train_step_seconds_bucket", le="0.5") or 0) >= 4


def test_numbers_bear_the_model_and_what_they_are() -> None:
    run = Watch("gym")
    run.hear(step(1, loss=0.25))
    run.hear(said("metric", split="train", epoch=1.0, loss=9.0, lr=1e-4))
    run.hear(said("metric", split="val", epoch=1.0, loss=0.75, top1=0.5))
    run.hear(said("result"))
    judged("gym", {"clips": 4, "top1": 0.75, "top5": 1.0, "map": 0.9})
    assert value("vireo_train_loss", model="gym") == 0.25
    found = {metric: value("vireo_train_eval", model="gym", metric=metric) for metric in ("val_loss", "val_top1")}
    assert found == {"val_loss": 0.75, "val_top1": 0.5}
    assert value("vireo_train_eval", model="gym", metric="top1") == 0.75
    assert value("vireo_train_eval", model="gym", metric="clips") is None


def test_a_result_without_a_clip_to_judge_by_says_nothing() -> None:
    judged("blind", None)
    assert value("vireo_train_eval", model="blind", metric="top1") is None


@pytest.mark.parametrize("model", ["gym", None])
def test_what_runs_gives_signs_of_life_until_it_ends(model: str | None) -> None:
    run = Watch(model)
    run.hear(said("progress", phase="evaluating"))
    assert (value("vireo_train_heard_timestamp_seconds") or 0) > 1e9
    run.hear(said("result"))
    run.end()
    assert value("vireo_train_heard_timestamp_seconds") == 0


def test_the_first_failure_will_be_an_increase() -> None:
    assert value("vireo_jobs_total", kind="training", state="failed") is not None
