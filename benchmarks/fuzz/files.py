"""Targets in core and the worker: manifests, archives, and the tables of a video's packets."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from core.batches.manifest import check_source, read_manifest
from core.errors import UndecodableVideo
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.archives.unpack import unpack_entries
from worker.datasets.manifests.manifest_rows import read_table
from worker.video.container import VideoFile, VideoLimits
from worker.video.timeline import packet_runs, read_timeline

_LIMITS: Final = UnpackLimits(max_bytes=1 << 20, max_files=50, free_bytes=1 << 19)
_HEADER: Final = struct.Struct("<BqqqIIH")
_ROW: Final = struct.Struct("<qqqIB")
_MOST_ROWS: Final = 60


def batch_manifest(data: bytes) -> None:
    """Every line becomes an item that can be stored."""
    path = _folder() / "manifest"
    path.write_bytes(data)
    for item in read_manifest(
        path, lambda name, source: check_source(name, source, frozenset(), frozenset({"s3://a"}))
    ):
        item.model_dump_json()


def dataset_manifest(data: bytes) -> None:
    """The first byte chooses the format."""
    name = ("manifest.csv", "manifest.tsv", "manifest.jsonl")[data[0] % 3] if data else "manifest.csv"
    path = _folder() / "table"
    path.write_bytes(data[1:])
    for row in read_table(path, name).rows:
        row.path.encode()
        row.label.encode()


def archive(data: bytes) -> None:
    """No file lies anywhere but in the folder, and no name in it is the archive's."""
    path, into = _folder() / "archive", _folder() / "unpacked"
    into.mkdir()
    path.write_bytes(data)
    try:
        unpack_entries(path, into, _LIMITS, lambda _: None)
    finally:
        names = [each.name for each in into.iterdir()]
        shutil.rmtree(into)
        assert all(name.isdigit() and len(name) == 6 for name in names), names


def packets(data: bytes) -> None:
    """A table of packets with any times: every frame that is asked for is one of them."""
    video = _Video.parse(data)
    timeline = read_timeline(cast(VideoFile, video))
    assert timeline.frames > 0
    assert timeline.end > timeline.start
    count = len(timeline.pts)
    targets = timeline.targets(timeline.times(np.array([[0, timeline.frames // 2, timeline.frames - 1]])))
    assert ((targets >= 0) & (targets < count)).all()
    for run in packet_runs(timeline, targets):
        assert 0 <= run.first <= run.last < count
        assert all(run.first <= wanted <= run.last for wanted in run.wanted)


@cache
def _folder() -> Path:
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="vireo-fuzz-", dir=base))


@dataclass(frozen=True)
class _Row:
    """A packet, and an entry of an index."""

    pts: int | None
    dts: int | None
    pos: int | None
    size: int
    flags: int

    @property
    def timestamp(self) -> int:
        return self.dts or 0

    @property
    def duration(self) -> int:
        return self.size

    @property
    def is_keyframe(self) -> bool:
        return bool(self.flags & 1)

    @property
    def is_discard(self) -> bool:
        return bool(self.flags & 2)


class _Entry(_Row):
    pos: int


class _Video:
    """What `read_timeline` asks an open file."""

    limits = VideoLimits()

    def __init__(self, mp4: bool, start: int, duration: int, tick: Fraction, rows: list[_Row], reorders: bool) -> None:
        self.rows = rows
        self.file_bytes = 1 << 40
        self.container, self.stream, self.codec_context, self.format = self, self, self, self
        self.name = "mov,mp4" if mp4 else "matroska"
        self.index_entries = rows
        self.frames = len(rows)
        self.start_time, self.time_base = start, tick
        self.duration = duration
        self.has_b_frames = reorders
        self.guessed_rate = self.average_rate = Fraction(25)

    @classmethod
    def parse(cls, data: bytes) -> _Video:
        head = data[: _HEADER.size].ljust(_HEADER.size, b"\0")
        flags, start, duration, _, over, under, _ = _HEADER.unpack(head)
        rows = [_row(*_ROW.unpack_from(data, at)) for at in range(_HEADER.size, len(data) - _ROW.size + 1, _ROW.size)]
        mp4 = bool(flags & 1)
        if mp4:  # the library's own index has no gaps
            rows = [row for row in rows if row.pos is not None and row.dts is not None and row.pts is not None]
        return cls(mp4, start, duration, Fraction(over or 1, under or 1), rows[:_MOST_ROWS], bool(flags & 2))

    def demux(self, _: Any) -> Iterator[_Row]:
        yield from self.rows

    def undecodable(self, what: str, reason: str, hint: str | None = None) -> UndecodableVideo:
        return UndecodableVideo(what, hint=hint, reason=reason)


def _row(pts: int, dts: int, pos: int, size: int, flags: int) -> _Row:
    """FFmpeg's value for "none" is the smallest of 64 bits."""
    none = -(1 << 63)
    return _Row(None if pts == none else pts, None if dts == none else dts, None if pos < 0 else pos, size or 1, flags)
