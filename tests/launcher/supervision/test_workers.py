"""Which workers a copy has: one for each queue, and an inference worker for each further GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.state import keys
from launcher.supervision import workers as module
from launcher.supervision.workers import VISIBLE, workers


@pytest.fixture(autouse=True)
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The driver's list of GPUs, which is empty."""
    folder = tmp_path / "gpus"
    folder.mkdir()
    monkeypatch.setattr(module, "GPUS", folder)
    return folder


def of_inference(device: str = "auto", **environment: str) -> list[str | None]:
    """The GPU of each inference worker."""
    found = workers(device, None, environment)
    return [worker.environment.get(VISIBLE) for worker in found if worker.queue == keys.INFERENCE]


def test_one_worker_for_each_queue_with_a_metrics_port_of_its_own() -> None:
    found = workers("auto", 9100, {})
    assert [(worker.name, worker.queue) for worker in found] == [
        ("worker", keys.INFERENCE),
        ("trainer", keys.TRAINING),
        ("datasets", keys.DATASETS),
    ]
    assert [worker.environment for worker in found] == [
        {"VIREO_METRICS_PORT": str(port)} for port in (9100, 9101, 9102)
    ]
    assert [worker.metrics_port for worker in found] == [9100, 9101, 9102]
    assert {worker.metrics_port for worker in workers("auto", None, {})} == {None}


def test_an_inference_worker_for_each_gpu(gpus: Path) -> None:
    (gpus / "0000:01:00.0").mkdir()
    assert of_inference() == [None]
    (gpus / "0000:02:00.0").mkdir()
    assert of_inference() == of_inference("cuda") == ["0", "1"]
    assert of_inference("cpu") == of_inference("cuda:1") == [None]
    further = workers("auto", 9100, {})[-1]
    assert (further.name, further.metrics_port) == ("worker-2", 9103)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0, GPU-7,3", ["0", "GPU-7", "3"]), ("2", [None]), ("", [None]), ("-1", [None])],
)
def test_only_the_gpus_that_the_operator_leaves(visible: str, expected: list[str | None], gpus: Path) -> None:
    for number in range(8):
        (gpus / str(number)).mkdir()
    assert of_inference(CUDA_VISIBLE_DEVICES=visible) == expected
