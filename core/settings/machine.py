"""What this process may use of the machine: the limits of its container count, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS) -> int:
    """At least 1. A share of a core counts as a whole one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(groups / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        cores = min(cores, -(-int(quota) // int(period)))
    return max(cores, 1)


def usable_memory(groups: Path = _GROUPS) -> int:
    """Bytes, used ones included."""
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read(groups / "memory.max")
    return min(installed, int(limit)) if limit.isdecimal() else installed


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
