"""The workers of a copy: one for each queue, and an inference worker for each further GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.state import keys

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""The variable of CUDA that names the GPUs a process may use, by number or by id, with commas between them."""

GPUS: Final = Path("/proc/driver/nvidia/gpus")
"""Where the driver lists the GPUs of this machine. The launcher starts within a tenth of a second, without torch."""

_QUEUES: Final = {"worker": keys.INFERENCE, "trainer": keys.TRAINING, "datasets": keys.DATASETS}
"""One worker per queue: a training run may use all memory, and an archive may hold anything."""


@dataclass(frozen=True, slots=True)
class Worker:
    """name: of its log; environment: variables of its own; metrics_port: None if it exports no metrics."""

    name: str
    queue: str
    environment: dict[str, str]
    metrics_port: int | None


def workers(device: str, metrics_port: int | None, environment: Mapping[str, str]) -> list[Worker]:
    """device: as in the settings; metrics_port: of the first worker, each further one has the next; environment: of
    this process."""
    first, *further = _gpus(device, environment) or [{}]
    kinds = [(name, queue, first if queue == keys.INFERENCE else {}) for name, queue in _QUEUES.items()]
    kinds += [(f"worker-{number}", keys.INFERENCE, gpu) for number, gpu in enumerate(further, 2)]
    return [
        Worker(name, queue, own | _port(metrics_port, index), metrics_port and metrics_port + index)
        for index, (name, queue, own) in enumerate(kinds)
    ]


def _gpus(device: str, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """The variable that leaves a worker one of several GPUs; empty where there are not several."""
    if device not in ("auto", "cuda"):
        return []  # `cpu`, or one GPU by its number
    visible = environment.get(VISIBLE)
    if visible is None:
        names = [str(number) for number, _ in enumerate(GPUS.glob("*"))]
    else:
        names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [{VISIBLE: name} for name in names] if len(names) > 1 else []


def _port(first: int | None, index: int) -> dict[str, str]:
    return {"VIREO_METRICS_PORT": str(first + index)} if first else {}
