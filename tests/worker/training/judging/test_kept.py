from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.frames.arrays import UInt8Array
from worker.training.judging import kept
from worker.training.judging.kept import FrameFile

CLIP = (2, 4, 4, 3)
CLIPS = [(index, np.full((1, *CLIP), index, np.uint8)) for index in (1, 4, 9)]


class Decoder:
    """Three clips, and how often they were decoded."""

    def __init__(self) -> None:
        self.times = 0

    def clips(self) -> Iterator[tuple[int, UInt8Array]]:
        self.times += 1
        yield from CLIPS


def check(found: list[tuple[int, UInt8Array]]) -> None:
    assert [index for index, _ in found] == [index for index, _ in CLIPS]
    for (_, frames), (_, expected) in zip(found, CLIPS, strict=True):
        np.testing.assert_array_equal(frames, expected)


def test_clips_are_decoded_for_the_first_look_only(tmp_path: Path) -> None:
    decoder, file = Decoder(), FrameFile(tmp_path / "val.frames", CLIP)
    for _ in range(3):
        check(list(file.through(decoder.clips(), 3)))
    assert decoder.times == 1


def test_a_look_that_was_broken_off_does_not_count(tmp_path: Path) -> None:
    decoder, file = Decoder(), FrameFile(tmp_path / "val.frames", CLIP)
    next(file.through(decoder.clips(), 3))
    check(list(file.through(decoder.clips(), 3)))
    assert decoder.times == 2


def test_without_room_clips_are_decoded_for_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, file = Decoder(), FrameFile(tmp_path / "val.frames", CLIP)
    monkeypatch.setattr(kept, "MAX_FRAME_BYTES", 3 * 96 - 1)
    for _ in range(2):
        check(list(file.through(decoder.clips(), 3)))
    assert decoder.times == 2
    assert not (tmp_path / "val.frames").exists()


def test_a_full_disk_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "val.frames").symlink_to("/dev/full")
    decoder, file = Decoder(), FrameFile(tmp_path / "val.frames", CLIP)
    check(list(file.through(decoder.clips(), 3)))
    assert not (tmp_path / "val.frames").is_symlink()
    for _ in range(2):
        check(list(file.through(decoder.clips(), 3)))
    assert decoder.times == 2  # the second time, the disk had room
