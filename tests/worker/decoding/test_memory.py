from __future__ import annotations

import pytest

from core.errors import WorkerUnavailable
from worker.decoding import memory
from worker.decoding.memory import Segment, map_segment


def test_a_segment_is_recognised_by_name_not_by_number() -> None:
    first = Segment((4,))
    first.close()
    second = Segment((4,))  # most likely with the same number
    ours = second.map()
    with pytest.raises(FileNotFoundError):
        map_segment(first.handle)
    map_segment(second.handle)[:] = 7
    second.close()
    assert ours.tolist() == [7, 7, 7, 7]


def test_a_lack_of_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory, "_reserve", full)
    with pytest.raises(WorkerUnavailable, match="no memory for 8 MB"):
        Segment((8 << 20,))
