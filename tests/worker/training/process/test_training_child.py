"""The child's entry: how many processes it becomes, and how each ending is told."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.datasets import Dataset
from core.errors import TrainingFailed
from core.logs.lines import JsonLines
from core.settings import Settings
from core.training_requests import EvaluationRequest, TrainingRequest
from tests.worker.training.process.runs import spec_of
from worker.training.process import training_child
from worker.training.run.stop import Stop, Stopped


class Replaced(Exception):
    """The process would now be another program."""


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the child's logs were configured with, which the logs of the tests are not."""
    configured: list[Settings] = []
    monkeypatch.setattr(training_child, "configure_logs", configured.append)
    return configured


@pytest.fixture(autouse=True)
def _unchanged_process() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    loggers = [logging.getLogger(name) for name in ("worker", None)]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a child would do, without the work."""
    found: dict[str, Any] = {}

    def work(name: str) -> Any:
        def run(_spec: Any, _request: Any, world: Any, _pool: Any, stop: Stop) -> None:
            found["work"] = name, world.size
            if problem := found.get("problem"):
                stop.requested = found.get("stops", False)
                raise problem

        return run

    def execve(_program: str, arguments: list[str], environment: dict[str, str]) -> None:
        found["command"], found["environment"] = arguments, environment
        raise Replaced

    monkeypatch.setattr(training_child, "run_training", work("training"))
    monkeypatch.setattr(training_child, "run_evaluation", work("evaluation"))
    monkeypatch.setattr(os, "execve", execve)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return found


def child(home: Path, dataset: Dataset, scratch: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> int:
    kind = settings.pop("kind", "training")
    request: dict[str, Any] = {
        "training": TrainingRequest(name="gym", dataset=dataset.id),
        "evaluation": EvaluationRequest(model="tiny", dataset=dataset.id),
    }
    spec = spec_of(home, dataset, scratch, **{kind: request[kind]})
    update: dict[str, Any] = {"request_id": settings.pop("request_id", None)}
    update["settings"] = Settings(data_dir=home, decode_processes=1, **settings)
    spec = spec.model_copy(update=update)
    (scratch / "spec.json").write_text(spec.model_dump_json())
    return training_child.main(scratch / "spec.json")


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_a_run_of_several_processes_is_started_again_by_torchrun(
    home: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, Any]
) -> None:
    child(home, dataset, tmp_path, monkeypatch, training_processes=3)
    command = started["command"]
    assert command[command.index("-m") + 1] == "torch.distributed.run"
    assert "--nproc-per-node=3" in command
    assert command[-2:] == ["worker.training.process.training_child", str(tmp_path / "spec.json")]
    assert started["environment"]["PYTHONSAFEPATH"] == "1"
    assert "work" not in started


def test_one_process_does_the_work_itself(
    home: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, Any]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert child(home, dataset, tmp_path, monkeypatch) == 0
    assert started == {"work": ("training", 1)}


def test_an_evaluation_is_one_process_wherever_it_runs(
    home: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, Any]
) -> None:
    assert child(home, dataset, tmp_path, monkeypatch, kind="evaluation", training_processes=3) == 0
    assert started == {"work": ("evaluation", 1)}


@pytest.mark.parametrize(
    ("problem", "stops", "status", "code"),
    [
        (Stopped(), True, 0, None),
        (TrainingFailed("The loss is not finite."), False, 1, "training_failed"),
        (TrainingFailed("A decoder ended."), True, 0, None),  # because of the stop
        (ValueError("unforeseen"), False, 1, "training_failed"),
        (torch.OutOfMemoryError("too much"), False, 1, "training_failed"),
    ],
    ids=str,
)
def test_each_ending_is_told_once(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    started: dict[str, Any],
    problem: Exception,
    stops: bool,
    status: int,
    code: str | None,
) -> None:
    started |= {"problem": problem, "stops": stops}
    assert child(home, dataset, tmp_path, monkeypatch) == status
    errors = [message["data"] for message in told(capsys) if message["name"] == "error"]
    assert [error["code"] for error in errors] == ([] if code is None else [code])
    if isinstance(problem, torch.OutOfMemoryError):
        assert "micro_batch" in errors[0]["hint"]
    if isinstance(problem, ValueError):
        assert "job_test" in errors[0]["hint"]


def test_log_lines_of_a_run_have_its_job_and_its_request(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: dict[str, Any],
    logs: list[Settings],
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(
        training_child.log, "handle", lambda record: lines.append(json.loads(JsonLines().format(record)))
    )
    started |= {"problem": ValueError("unforeseen")}
    child(home, dataset, tmp_path, monkeypatch, log_format="json", request_id="req_7")
    assert [settings.log_format for settings in logs] == ["json"]
    assert [(line["job_id"], line["request_id"]) for line in lines] == [("job_test", "req_7")]
    assert "unforeseen" in lines[0]["exception"]


@pytest.mark.parametrize(("problem", "free"), [(OSError(errno.ENOSPC, "full"), 1 << 40), (RuntimeError("pos 64"), 0)])
def test_a_full_disk_is_named_with_the_way_to_go_on(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    problem: Exception,
    free: int,
) -> None:
    started["problem"] = problem
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert child(home, dataset, tmp_path, monkeypatch) == 1
    (message,) = [message for message in told(capsys) if message["name"] == "error"]
    assert message["data"]["code"] == "storage_unavailable"
    assert "/resume" in message["data"]["hint"]
