from __future__ import annotations

import os

import pytest

from core.errors import WorkerUnavailable
from worker.decoding import memory
from worker.decoding.memory import Segment, map_segment


def test_a_child_cannot_cut_off_what_the_parent_reads() -> None:
    """Reading a mapping beyond the end of its file would end the parent with SIGBUS."""
    segment = Segment((4096,))
    ours = segment.map()
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, size)
    map_segment(segment.fd, (4096,))[:] = 7
    segment.close()
    assert ours.tolist() == [7] * 4096


def test_a_lack_of_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory, "_reserve", full)
    with pytest.raises(WorkerUnavailable, match="no memory for 8 MB"):
        Segment((8 << 20,))
