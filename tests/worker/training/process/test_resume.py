"""A run that was stopped goes on where it stopped, and tells what it does on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.datasets import Dataset
from core.registry import Card
from core.training_requests import TrainingRequest
from tests.models.conftest import CPU
from tests.worker.training.process.runs import spec_of
from worker.decoding.pool import DecodePool
from worker.training.process.follower import Follower
from worker.training.process.session import run_training
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import World

STEPS, STOPPED_AFTER = 6, 2  # two epochs of three steps


@pytest.fixture(scope="module")
def tested(dataset: Dataset) -> Dataset:
    """The dataset with a test split instead of val."""
    items = tuple(item.model_copy(update={"split": "test"}) if item.split == "val" else item for item in dataset.items)
    return dataset.model_copy(update={"items": items})


def run(
    home: Path, dataset: Dataset, scratch: Path, pool: DecodePool, stop: Stop, checkpoint: Path | None = None
) -> None:
    fields = {"name": "scenes", "dataset": dataset.id, "epochs": 2, "batch_size": 4, "temporal": "mean", "seed": 5}
    request = TrainingRequest.model_validate(fields)
    spec = spec_of(home, dataset, scratch, training=request).model_copy(update={"checkpoint": checkpoint})
    run_training(spec, request, World(0, 1, CPU), pool, stop)


def checkpoints(scratch: Path) -> list[str]:
    return sorted(path.stem for path in scratch.glob("checkpoint-*.pt"))


def messages(capsys: pytest.CaptureFixture[str], name: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [message["data"] for message in told if message["name"] == name]


def card(scratch: Path) -> Card:
    return Card.model_validate_json((scratch / "output" / "card.json").read_text())


def test_a_stopped_run_goes_on_from_its_last_step_to_the_same_weights(
    home: Path,
    tested: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(home, tested, tmp_path / "whole", pool, Stop())
    assert {"checkpoint-0", f"checkpoint-{STEPS}"} <= set(checkpoints(tmp_path / "whole"))
    stop, after_step = Stop(), Follower.after_step

    def stopping(follower: Follower, done: Any, state: Any) -> None:
        after_step(follower, done, state)
        stop.requested = state.step == STOPPED_AFTER

    with monkeypatch.context() as context:
        context.setattr(Follower, "after_step", stopping)
        with pytest.raises(Stopped):
            run(home, tested, tmp_path / "half", pool, stop)
    assert checkpoints(tmp_path / "half") == ["checkpoint-0", f"checkpoint-{STOPPED_AFTER}"]
    capsys.readouterr()
    stopped = tmp_path / "half" / f"checkpoint-{STOPPED_AFTER}.pt"
    run(home, tested, tmp_path / "rest", pool, Stop(), stopped)
    assert f"continues from step {STOPPED_AFTER}" in [told["message"] for told in messages(capsys, "log")]
    assert "checkpoint-0" not in checkpoints(tmp_path / "rest")
    whole, rest = card(tmp_path / "whole"), card(tmp_path / "rest")
    assert whole.digest == rest.digest
    assert whole.metrics == rest.metrics
    assert (rest.seeds, rest.metrics["split"]) == ({"run": 5}, "test")


def test_the_messages_of_a_run_are_those_of_its_report(
    home: Path, tested: Dataset, tmp_path: Path, pool: DecodePool, capsys: pytest.CaptureFixture[str]
) -> None:
    run(home, tested, tmp_path, pool, Stop())
    metrics = messages(capsys, "metric")
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    losses = [point["loss"] for point in report["curves"]["train"]]
    assert len(losses) == STEPS
    trained = [metric["loss"] for metric in metrics if metric["split"] == "train"]
    assert trained == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])])
    judged = [{**metric} for metric in metrics if metric["split"] == "val"]
    assert [metric.pop("split") for metric in judged] == ["val", "val"]
    assert judged == report["curves"]["val"]
    assert all(0 < metric["loss"] < 20 for metric in judged)
    assert report["split"] == "test"
