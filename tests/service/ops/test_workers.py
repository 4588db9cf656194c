"""What the live workers mean for questions: who is ready, and why nobody is."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import ModelUnavailable, WorkerUnavailable
from core.records import ModelRef, WorkerInfo
from core.state import keys
from service.ops import workers


def info(state: str = "ready", **facts: Any) -> WorkerInfo:
    fields = {"id": "w1", "queue": keys.INFERENCE, "detail": "loading lite", "started_at": 1.0, "seen_at": 2.0}
    return WorkerInfo.model_validate(fields | {"state": state} | facts)


FAILED = info("failed", error=ModelUnavailable("No weights.").to_dict())


def test_a_question_needs_a_worker_that_is_ready_or_starting() -> None:
    for live in ([info()], [info("starting")], [FAILED, info("starting")]):
        workers.check_any_worker(live)
    with pytest.raises(WorkerUnavailable, match="No inference worker is running"):
        workers.check_any_worker([])
    with pytest.raises(ModelUnavailable, match="No weights"):
        workers.check_any_worker([FAILED])


def test_readiness_is_that_of_a_worker_that_is_ready() -> None:
    assert workers.why_not_ready([FAILED, info()]) is None
    assert workers.why_not_ready([FAILED]) == "No weights"
    assert workers.why_not_ready([info("starting")]) == "the inference worker is starting: loading lite"
    assert workers.why_not_ready([]) == "No inference worker is running"


def test_why_a_job_waits() -> None:
    assert workers.why_waiting("training", [FAILED, info()]) is None
    assert workers.why_waiting("training", [info("starting")]) == "the training worker is starting: loading lite"
    assert "no training worker is running" in (workers.why_waiting("training", []) or "")


def test_all_workers_must_use_the_gateways_store() -> None:
    assert workers.foreign_stores([info(), info(store="store_1")], "store_1") is None
    found = workers.foreign_stores([info(store="store_1"), info(id="w2", store="store_2")], "store_1")
    assert found is not None
    assert "w2 (inference) uses store_2" in found
    assert "w1" not in found


def test_the_default_model_comes_first_with_its_reason() -> None:
    lite = ModelRef(name="lite", digest="d", reason="no hub answers", note="Weak.")
    live = [info(model=lite, models=["clip-b16", "lite"]), info(id="w2", models=["clip-b16"])]
    first, second = workers.served_models(live)
    assert (first.name, first.default, first.reason, first.note, first.workers) == (
        "lite", True, "no hub answers", "Weak.", ["w1"],
    )  # fmt: skip
    assert (second.name, second.default, second.digest, second.workers) == ("clip-b16", False, None, ["w1", "w2"])
    assert workers.served_names(live) == {"lite", "clip-b16"}
    assert workers.default_model([info(models=["clip-b16"])]) is None
