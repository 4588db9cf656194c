"""What a server costs: CPU-seconds and memory of a process and of all below it."""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MEMORY = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    members = [pid]
    for member in members:
        # Not `Path.glob`: it fails where the process ends meanwhile.
        for task in glob.glob(f"/proc/{member}/task/*/children"):  # noqa: PTH207
            with suppress(OSError):
                members += [int(child) for child in Path(task).read_text().split()]
    return members


def cpu_seconds(pid: int) -> float:
    """User and system time of the family, with that of children that have ended and were waited for."""
    return sum(map(_cpu_seconds, family(pid)))


def memory(pid: int) -> float:
    """Bytes of one process in memory; pages that it shares count in part (Pss). 0 for a process that has ended."""
    try:
        found = _MEMORY.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0.0
    return 1024.0 * int(found[1]) if found else 0.0


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, cutime, cstime
