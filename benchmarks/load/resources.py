"""Memory, descriptors and threads of processes over time, and whether they grow."""

from __future__ import annotations

import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.repetition import repeated

_PRIVATE = re.compile(r"^(?:Pss|Pss_Anon): +(\d+) kB", re.MULTILINE)
BLOCKS: Final = 20
"""Of which the means are taken before the line is fitted: neighbouring samples are nearly the same measurement."""
_QUANTILE: Final = 2.101
"""Of Student's t with BLOCKS - 2 degrees of freedom, for 95 %."""
WARM_UP: Final = 0.3
"""Share of the samples, at the beginning, in which caches fill."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    memory: float
    """MiB of its own: pages that are shared count in part."""
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth over the measured time, with its 95 % interval."""

    growth: float
    low: float
    high: float
    level: float
    """Mean."""


class Watch:
    """The samples of all processes that live from the first to the last one."""

    def __init__(self, pids: Callable[[], Iterable[int]], seconds: float) -> None:
        self._pids = pids
        self._seconds = seconds
        self.samples: dict[int, list[Sample]] = defaultdict(list)

    @contextmanager
    def running(self) -> Iterator[None]:
        with repeated(self._look, self._seconds):
            yield

    def _look(self) -> None:
        for pid in self._pids():
            with suppress(OSError, AttributeError):
                self.samples[pid].append(_sample(pid))

    def lasting(self) -> dict[int, list[Sample]]:
        most = max((len(samples) for samples in self.samples.values()), default=0)
        return {pid: samples for pid, samples in self.samples.items() if len(samples) >= 0.9 * most}


def slope(values: Sequence[float]) -> Slope:
    """A line through the means of blocks, without the warm-up."""
    warm = np.asarray(values[int(len(values) * WARM_UP) :], dtype=float)
    blocks = np.array([block.mean() for block in np.array_split(warm, min(BLOCKS, len(warm)))])
    at = np.linspace(0.0, 1.0, len(blocks))
    growth, level = np.polyfit(at, blocks, 1)
    rest = blocks - (growth * at + level)
    freedom = len(blocks) - 2
    error = math.sqrt((rest @ rest) / freedom / ((at - at.mean()) ** 2).sum()) if freedom > 0 else math.inf
    spread = _QUANTILE * error
    return Slope(float(growth), float(growth - spread), float(growth + spread), float(blocks.mean()))


def _sample(pid: int) -> Sample:
    found = _PRIVATE.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - numbers are enough
    threads = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    return Sample(time.monotonic(), int(found[1]) / 1024, descriptors, threads)
