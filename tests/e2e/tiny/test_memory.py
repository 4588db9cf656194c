"""The memory of a running copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from core.settings.machine import usable_cores
from tests.e2e.stack import Stack

HEAP_BYTES = 64 << 20
"""glibc reserves this for each heap of threads, at a multiple of it."""


def test_the_threads_of_a_worker_share_heaps(stack: Stack) -> None:
    """One per core, and at least two; glibc alone would take eight per core."""
    assert heaps(stack.worker("inference")) <= max(usable_cores(), 2)


def heaps(pid: int) -> int:
    """Those of threads. One that is full goes on in another reserved region, whose first word points to it as well."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    regions = re.findall(r"^(\w+)-(\w+) rw-p 00000000 00:00 0 *\n\2-(\w+) ---p", maps, re.M)
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        return len({word_at(memory, int(start, 16)) for start, _, end in regions if is_reserved(start, end)})


def is_reserved(start: str, end: str) -> bool:
    return int(start, 16) % HEAP_BYTES == 0 and int(end, 16) - int(start, 16) == HEAP_BYTES


def word_at(memory: BinaryIO, address: int) -> bytes:
    memory.seek(address)
    return memory.read(8)
