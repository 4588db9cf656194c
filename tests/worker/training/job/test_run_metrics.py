"""A run's messages become metrics, and a run that has ended no longer looks alive."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from worker.children.messages import Message, MessageName
from worker.training.job.run_metrics import RunMetrics, record_report


def message(name: MessageName, **data: Any) -> Message:
    return {"name": name, "data": data}


def step(number: int, loss: float = 0.5) -> Message:
    return message("progress", phase="training", step=number, loss=loss, samples_per_s=12.0)


def value(name: str, /, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_steps_reported_together_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 14.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    steps, seconds = value("vireo_train_step_seconds_count") or 0, value("vireo_train_step_seconds_sum") or 0
    run = RunMetrics("gym")
    for number in (7, 11, 12):  # how long the first one after a resume took is unknown
        run.observe(step(number))
    assert value("vireo_train_step_seconds_count") == steps + 5
    assert value("vireo_train_step_seconds_sum") == pytest.approx(seconds + 4.5)
    assert (value("vireo_train_step_seconds_bucket", le="0.5") or 0) >= 4


def test_numbers_are_labelled_with_model_and_metric() -> None:
    run = RunMetrics("gym")
    run.observe(step(1, loss=0.25))
    run.observe(message("metric", split="train", epoch=1.0, loss=9.0, lr=1e-4))
    run.observe(message("metric", split="val", epoch=1.0, loss=0.75, top1=0.5))
    run.observe(message("result"))
    record_report("gym", {"clips": 4, "top1": 0.75, "top5": 1.0, "map": 0.9})
    assert value("vireo_train_loss", model="gym") == 0.25
    found = {metric: value("vireo_train_eval", model="gym", metric=metric) for metric in ("val_loss", "val_top1")}
    assert found == {"val_loss": 0.75, "val_top1": 0.5}
    assert value("vireo_train_eval", model="gym", metric="top1") == 0.75
    assert value("vireo_train_eval", model="gym", metric="clips") is None


def test_a_report_without_clips_sets_no_metric() -> None:
    record_report("blind", None)
    assert value("vireo_train_eval", model="blind", metric="top1") is None


@pytest.mark.parametrize("model", ["gym", None])
def test_a_run_looks_alive_until_it_ends(model: str | None) -> None:
    run = RunMetrics(model)
    run.observe(message("progress", phase="evaluating"))
    assert (value("vireo_train_heard_timestamp_seconds") or 0) > 1e9
    run.observe(step(1))
    run.end()
    assert value("vireo_train_heard_timestamp_seconds") == 0
    assert model is None or value("vireo_train_samples_per_second") == 0


def test_the_series_of_failures_starts_at_zero() -> None:
    assert value("vireo_jobs_total", kind="training", state="failed") is not None


@pytest.mark.parametrize("model", ["gym", None])
def test_the_memory_of_the_gpu_is_shown(model: str | None) -> None:
    RunMetrics(model).observe(message("gpu_memory", device="3", used=6 << 30, total=24 << 30))
    assert value("vireo_gpu_memory_bytes", device="3", kind="used") == 6 << 30
    assert value("vireo_gpu_memory_bytes", device="3", kind="total") == 24 << 30
