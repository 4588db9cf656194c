"""The processes of a run: how many there should be, and which one speaks for it."""

from __future__ import annotations

import json

import pytest
import torch

from core.settings import Settings
from tests.models.conftest import CPU
from worker.training.run.world import World, join_world, process_count


@pytest.mark.parametrize(
    ("settings", "gpus", "expected"),
    [
        ({}, 0, 1),
        ({}, 4, 4),
        ({"device": "cuda"}, 2, 2),
        ({"device": "cuda:1"}, 4, 1),
        ({"device": "cpu"}, 4, 1),
        ({"training_processes": 3}, 4, 3),
        ({"training_processes": 2, "device": "cpu"}, 0, 2),
    ],
    ids=str,
)
def test_a_run_has_a_process_for_each_gpu_unless_the_settings_say_otherwise(
    settings: dict[str, str], gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert process_count(Settings.model_validate(settings)) == expected


def test_only_the_first_process_reports(capsys: pytest.CaptureFixture[str]) -> None:
    World(1, 2, CPU).report_phase("training", step=1)
    assert capsys.readouterr().out == ""
    World(0, 2, CPU).report_phase("training", step=1)
    assert json.loads(capsys.readouterr().out)["data"] == {"phase": "training", "step": 1}


def test_without_torchrun_a_run_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert join_world(Settings(device="cpu")) == World(0, 1, CPU)


def test_the_first_process_reports_the_memory_of_its_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (3, 10))
    World(0, 2, torch.device("cuda", 1)).report_phase("training", step=1)
    World(1, 2, torch.device("cuda", 0)).report_phase("training", step=1)
    progress, memory = map(json.loads, capsys.readouterr().out.splitlines())
    assert progress["name"] == "progress"
    assert memory == {"name": "gpu_memory", "data": {"device": "1", "used": 7, "total": 10}}
