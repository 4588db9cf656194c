"""Memory, descriptors and threads of every process, over many requests and over many different videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.load.resources import Sample, Slope, Watch, slope
from benchmarks.load.target import Target
from benchmarks.report import Row
from tests.e2e.stack import command_line

USERS: Final = 8
LONGEST_SECONDS: Final = 1800.0
WARM_UP_SECONDS: Final = 150.0
"""Two sweeps: from then on, Redis has had as many finished jobs as it ever has."""
FLAT: Final = 0.03
"""Growth over the measured time that counts as none, as a share of the level: if the interval reaches below it."""
COUNTS: Final[Mapping[str, Callable[[Sample], float]]] = {
    "descriptors": lambda sample: sample.descriptors,
    "threads": lambda sample: sample.threads,
}
SPARE: Final = 4.0
"""Descriptors or threads that may come and go."""


def measure(target: Target, requests: int, videos: int) -> list[Row]:
    target.swarm(USERS, WARM_UP_SECONDS)
    asked = _watched(target, f"{requests} requests", "--requests", str(requests))
    sent = _watched(target, f"{videos} videos", "--requests", str(videos), "--clip", str(target.clip))
    return asked + sent


def _watched(target: Target, what: str, *options: str) -> list[Row]:
    watch = Watch(target.stack.family, 0.5)
    with watch.running():
        met = target.swarm(USERS, LONGEST_SECONDS, *options)
    failed = sum(each.status not in (200, 429, 503) for each in met)
    rows = [Row(f"{what}: errors", failed, "", "none", failed == 0)]
    for pid, samples in sorted(watch.lasting().items()):
        rows += _rows(f"{what}: {_name(pid, samples)}", samples)
    return rows


def _rows(about: str, samples: Sequence[Sample]) -> list[Row]:
    memory = slope([sample.memory for sample in samples])
    claim = f"of {memory.level:.0f}; [{memory.low:+.1f}, {memory.high:+.1f}]"
    rows = [Row(f"{about}: growth", memory.growth, "MiB", claim, memory.low <= FLAT * memory.level)]
    for name, count in COUNTS.items():
        found = slope([count(sample) for sample in samples])
        if not _is_flat(found):
            rows.append(Row(f"{about}: growth of {name}", found.growth, "", f"of {found.level:.0f}", False))
    return rows


def _is_flat(found: Slope) -> bool:
    return found.low <= SPARE


def _name(pid: int, samples: Sequence[Sample]) -> str:
    words = command_line(pid).split()
    program = next(
        (word.rpartition("/")[2] for word in words[1:] if not word.startswith("-")), words[0] if words else ""
    )
    queue = words[-1] if "--queue" in words else ""
    return f"{program} {queue} ({samples[0].memory:.0f} MiB)".replace("  ", " ")
