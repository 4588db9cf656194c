"""The memory of a running copy."""

from __future__ import annotations

import re
from pathlib import Path

from core.settings.machine import usable_cores
from tests.e2e.stack import Stack

HEAP_BYTES = 64 << 20
"""glibc reserves this for each heap of threads, at a multiple of it."""


def test_the_threads_of_a_worker_share_heaps(stack: Stack) -> None:
    """As many as there are cores; glibc alone would take eight times as many."""
    assert 1 <= heaps(stack.worker("inference")) < max(usable_cores(), 2)  # one is that of the process


def heaps(pid: int) -> int:
    """Those of threads: what is used of one, and then what is reserved for it."""
    found = re.findall(
        r"^(\w+)-(\w+) rw-p 00000000 00:00 0 *\n\2-(\w+) ---p", Path(f"/proc/{pid}/maps").read_text(), re.M
    )
    return sum(
        int(start, 16) % HEAP_BYTES == 0 and int(end, 16) - int(start, 16) == HEAP_BYTES for start, _, end in found
    )
