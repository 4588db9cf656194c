"""What a number of videos per day needs: cores, GPUs and memory, reckoned from measured costs.

`launcher/costs.json` has them, with the machine that they were measured on; `python -m benchmarks.scaling --keep`
writes it. Cores of other machines are faster or slower, so a plan is as good as that machine is like yours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

DAY: Final = 86_400.0
BUSY: Final = 0.8
"""Share of the time that a core may be busy at the peak: beyond it questions queue."""


@dataclass(frozen=True, slots=True)
class Load:
    """seconds: of a video; megapixels: of a frame; peak: the busiest hour against the mean."""

    per_day: float
    seconds: float = 10.0
    megapixels: float = 0.087
    frames: int = 8
    views: int = 1
    labels: int = 10
    peak: float = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """setting: number format and engine that were measured; seconds: CPU-seconds of one video, by part; per_second:
    videos at the peak; gpus: None where no GPU was measured; error: of the costs, the median and the largest over cells
    that they were not fitted on; frame_alone: of this model only a frame was measured, and no whole question."""

    model: str
    setting: str
    seconds: dict[str, float]
    per_second: float
    cores: int
    hosts: int
    host_cores: int
    memory_mib: int
    gpus: int | None
    error: float
    largest_error: float
    frame_alone: bool

    @property
    def cpu_seconds(self) -> float:
        return sum(self.seconds.values())

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"cpu_seconds": self.cpu_seconds}


@cache
def measured() -> dict[str, Any]:
    """`machine`, `measured` (a date) and `models`: name → costs."""
    costs: dict[str, Any] = json.loads(Path(__file__).with_name("costs.json").read_text(encoding="utf-8"))
    return costs


def reckon(model: str, load: Load, host_cores: int, costs: Mapping[str, Any] | None = None) -> Plan:
    """Raises: KeyError for a model that was not measured."""
    known = costs or measured()["models"][model]
    seconds = {
        "decode": known["megapixel_second"] * load.seconds * load.megapixels,
        "encode": known["frame"] * load.frames * load.views,
        "labels": known["label"] * load.labels,
        "rest": known["fixed"],
    }
    rate = load.peak * load.per_day / DAY
    cores = max(1, math.ceil(rate * sum(seconds.values()) / BUSY))
    hosts = math.ceil(cores / host_cores)
    memory = hosts * (known["worker_mib"] + known["rest_mib"])
    of_gpu = known.get("videos_per_gpu_second")
    return Plan(
        model=model,
        setting=known["setting"],
        seconds=seconds,
        per_second=rate,
        cores=cores,
        hosts=hosts,
        host_cores=host_cores,
        memory_mib=round(memory),
        gpus=math.ceil(rate / BUSY * load.frames * load.views / 8 / of_gpu) if of_gpu else None,
        error=known["error"],
        largest_error=known["largest_error"],
        frame_alone=known["frame_alone"],
    )


def in_words(plan: Plan, load: Load) -> list[str]:
    """The lines that `vireo plan` prints."""
    costs = measured()
    machine = costs["machine"]
    parts = ", ".join(f"{name} {value:.3f}" for name, value in plan.seconds.items())
    gpus = (
        "GPUs: no GPU was measured." if plan.gpus is None else f"GPUs: {plan.gpus}, instead of the cores that encode."
    )
    return [
        f"{load.per_day:,.0f} videos per day are {load.per_day / DAY:.2f} per second, and {plan.per_second:.2f} at the "
        f"peak ({load.peak:g} times as many).",
        f"One video costs {plan.cpu_seconds:.2f} CPU-seconds with {plan.model} ({plan.setting}): {parts}.",
        f"Cores: {plan.cores}, busy for {BUSY:.0%} of the time at the peak.",
        f"Memory: {plan.memory_mib / 1024:.1f} GiB on {plan.hosts} host{'s' if plan.hosts > 1 else ''} of "
        f"{plan.host_cores} cores, with one inference worker each.",
        gpus,
        f"Error: the costs miss a question that they were not fitted on by {plan.error:.0%} (median; "
        f"{plan.largest_error:.0%} at most), on the machine that they were measured on: {machine['cpu']}, "
        f"{machine['cores']} cores, {costs['measured']}, load {machine['load']:g}. Other cores are faster or slower.",
        *(
            [f"Of {plan.model} only a frame was measured, alone: a whole question costs more."]
            if plan.frame_alone
            else []
        ),
    ]
