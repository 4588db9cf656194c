"""When each frame is displayed, and the fewest packets that must be decoded for the wanted frames.

A video of n frames and duration D is divided into n equal steps. Step i stands for the frame that is displayed at
start + (i + ½)·D/n. At a constant frame rate this is frame i, as the papers' index rules assume; at a variable rate the
steps are uniform in time. The times are read without decoding: from the container's index (MP4, MOV), else from the
packets. Only the groups of pictures with a wanted frame are decoded, each up to its last wanted frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from av.error import FFmpegError

from models.frames.arrays import BoolArray, FloatArray, IntArray
from worker.video.container import VideoFile, codec_name, describe_error, too_long
from worker.video.packets import PacketReader, demux_packets

REORDER = 16  # frames: the most that H.264 and HEVC may hold back for display order
_IN_ORDER = ("mjpeg", "prores", "vp8", "vp9", "av1")  # codecs that never show frames in another order than they store
_FARTHEST = 1 << 60  # ticks: sums of a few such times fit into 64 bits
_JUMP_SECONDS = 1.0  # a decode time that jumps back further means a restarted clock, as in joined files


@dataclass(frozen=True, slots=True)
class Timeline:
    """All packets of a stream in decode order, one frame each. Times are in ticks of `tick` seconds."""

    source: Literal["index", "packets", "count"]  # "count": the times are unusable, so decoded frames are counted
    tick: Fraction
    pts: IntArray  # [N]
    dts: IntArray  # [N]
    key: BoolArray  # [N]
    shown: BoolArray  # [N]: decodable, and not removed by an edit list
    positions: IntArray | None  # [N], bytes; None if they do not identify packets
    start: int
    end: int
    exact: bool = True  # False: pts assume display in decode order, and must be read near the wanted frames

    @property
    def frames(self) -> int:
        return int(self.shown.sum())

    @property
    def seconds(self) -> float:
        return float((self.end - self.start) * self.tick)

    def times(self, indices: IntArray) -> FloatArray:
        """Ticks of the steps `indices`, same shape."""
        grid: FloatArray = indices.astype(np.float64) + 0.5
        return self.start + grid * ((self.end - self.start) / self.frames)

    def ticks(self, seconds: FloatArray) -> FloatArray:
        """Ticks of times from the first frame, same shape."""
        return self.start + seconds / float(self.tick)

    def targets(self, times: FloatArray) -> IntArray:
        """Ordinals of the packets whose frames are displayed at `times`, same shape."""
        ordinals = np.flatnonzero(self.shown)
        ordinals = ordinals[np.argsort(self.pts[ordinals], kind="stable")]  # in display order
        rank = np.searchsorted(self.pts[ordinals], times, side="right") - 1
        return ordinals[np.clip(rank, 0, len(ordinals) - 1)].astype(np.int64)


@dataclass(frozen=True, slots=True)
class PacketRun:
    """Packets first … last are decoded without a gap; `wanted` are the ordinals among them whose frames are used."""

    first: int
    last: int
    wanted: tuple[int, ...]


def read_timeline(video: VideoFile) -> Timeline:
    """Read the index if it is complete, else the packets. Raises: UndecodableVideo, VideoTooLarge."""
    timeline = _from_index(video) or _from_packets(video)
    if timeline.seconds > video.limits.max_seconds:
        raise too_long(timeline.seconds, video.limits)
    return timeline


def packet_reader(video: VideoFile, timeline: Timeline) -> PacketReader:
    # MP4 and Matroska are indexed by display time, the others by decode time
    by_pts = video.container.format.name.startswith(("mov", "matroska"))
    seek_to = timeline.pts if by_pts else timeline.dts
    return PacketReader(video, timeline.positions, seek_to, started=timeline.source != "index")


def with_exact_pts(timeline: Timeline, packets: PacketReader, times: FloatArray) -> Timeline:
    """The same timeline with exact pts around `times`: an index holds decode times, and B-frames change the order."""
    if timeline.exact:
        return timeline
    pts = timeline.pts.copy()
    last = len(pts) - 1
    for first, end in _merge(
        [(_key_before(timeline, max(k - REORDER, 0)), min(k + REORDER, last)) for k in _unique(timeline.targets(times))]
    ):
        for ordinal, packet in packets.between(first, end):
            if packet.pts is not None:
                pts[ordinal] = packet.pts
    return replace(timeline, pts=pts, exact=True)


def packet_runs(timeline: Timeline, targets: IntArray) -> list[PacketRun]:
    """The shortest runs that begin at keyframes and contain all targets, in decode order."""
    wanted = _unique(targets)
    if timeline.source == "count":
        return [PacketRun(0, len(timeline.pts) - 1, tuple(wanted))]
    spans = _merge([(_decode_from(timeline, k), k) for k in wanted])
    return [PacketRun(a, b, tuple(k for k in wanted if a <= k <= b)) for a, b in spans]


def _decode_from(timeline: Timeline, ordinal: int) -> int:
    key = _key_before(timeline, ordinal)
    if key > 0 and timeline.pts[ordinal] < timeline.pts[key]:
        # an open group: a frame displayed before its keyframe also references the previous group
        return _key_before(timeline, key - 1)
    return key


def _key_before(timeline: Timeline, ordinal: int) -> int:
    keys = np.flatnonzero(timeline.key[: ordinal + 1])
    return int(keys[-1]) if len(keys) else 0


def _merge(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _unique(ordinals: IntArray) -> list[int]:
    return [int(k) for k in np.unique(ordinals)]


def _from_index(video: VideoFile) -> Timeline | None:
    """None if the index is missing, partial (fragments), edited or implausible."""
    stream, entries = video.stream, video.stream.index_entries
    count, tick = len(entries), stream.time_base
    if not video.container.format.name.startswith("mov") or tick is None or stream.start_time is None:
        return None
    if count < 2 or count != stream.frames or not stream.duration:
        return None
    rows = [(e.timestamp, e.pos, e.size, e.is_keyframe, e.is_discard) for e in entries]
    table = np.array(rows, dtype=np.int64)  # [N, 5]
    dts, positions, sizes = table[:, 0], table[:, 1], table[:, 2]
    present = positions <= video.file_bytes - sizes  # the other packets were cut off
    if (
        _absurd(dts, np.array([stream.start_time, stream.duration]))
        or table[:, 4].any()
        or not present[0]
        or (np.diff(dts) < 0).any()
        or len(np.unique(positions)) != count
    ):
        return None
    count = count if present.all() else int(np.argmin(present))
    dts, positions, key = dts[:count], positions[:count], table[:count, 3].astype(bool)
    delay = stream.start_time - int(dts[0])
    end = stream.start_time + stream.duration if present.all() else int(dts[-1]) + delay + _step(dts)
    return Timeline(
        source="index",
        tick=tick,
        pts=dts + delay,
        dts=dts,
        key=key,
        shown=_decodable(dts, key),
        positions=positions,
        start=stream.start_time,
        end=max(end, int(dts[-1]) + delay + 1),
        exact=delay == 0 and codec_name(stream) in _IN_ORDER,
    )


def _from_packets(video: VideoFile) -> Timeline:
    """Read all packets once, without decoding."""
    rows: list[tuple[int | None, int | None, int, int, bool, bool]] = []
    try:
        for packet in demux_packets(video):
            position = -1 if packet.pos is None else packet.pos
            flags = packet.is_keyframe, packet.is_discard
            rows.append((packet.pts, packet.dts, packet.duration or 0, position, *flags))
    except FFmpegError as error:
        if not rows:
            raise video.undecodable(f"no packet could be read: {describe_error(error)}", "no_packets") from error
    tick = video.stream.time_base
    if not rows:
        raise video.undecodable("it holds no data", "no_packets", "Check that the upload is complete.")
    if tick is None or any(row[0] is None for row in rows):
        return _counted_timeline(len(rows), _frame_seconds(video))
    table = np.array([(p, p if d is None else d, *rest) for p, d, *rest in rows], dtype=np.int64)  # [N, 6]
    if _absurd(table[:, 0], table[:, 1]):
        return _counted_timeline(len(rows), _frame_seconds(video))
    pts, key = table[:, 0], table[:, 4].astype(bool)
    ordered = np.sort(pts)
    step = _step(ordered)
    dts = np.array([row[1] for row in rows if row[1] is not None], dtype=np.int64)
    clock_restarts = len(dts) > 1 and -np.diff(dts).min() * tick > _JUMP_SECONDS
    implausible = (ordered[-1] - ordered[0]) * tick > video.limits.max_seconds >= len(rows) * step * tick
    if clock_restarts or implausible:
        return _counted_timeline(len(rows), _frame_seconds(video))
    shown = _decodable(pts, key) & ~table[:, 5].astype(bool)
    if not shown.any():
        shown = np.ones(len(rows), dtype=bool)
    last = np.flatnonzero(shown)[np.argmax(pts[shown])]
    unique = len(np.unique(table[:, 3])) == len(rows)
    return Timeline(
        source="packets",
        tick=tick,
        pts=pts,
        dts=table[:, 1],
        key=key,
        shown=shown,
        positions=table[:, 3] if unique else None,
        start=int(pts[shown].min()),
        end=int(pts[last]) + (int(table[last, 2]) or step),
    )


def _absurd(*times: IntArray) -> bool:
    """Whether one of the times, ticks, is so far from 0 that it cannot be calculated with."""
    return any(((each < -_FARTHEST) | (each > _FARTHEST)).any() for each in times)


def _decodable(pts: IntArray, key: BoolArray) -> BoolArray:
    """False before the first keyframe: the stream was cut out of a longer one."""
    if not key.any():
        return np.ones(len(pts), dtype=bool)
    first = int(np.argmax(key))
    decodable: BoolArray = (np.arange(len(pts)) >= first) & (pts >= pts[first])
    return decodable


def _counted_timeline(count: int, seconds: Fraction) -> Timeline:
    """A timeline without usable times: frame i is the i-th decoded frame, and frames are `seconds` apart."""
    ordinals = np.arange(count, dtype=np.int64)
    key = ordinals == 0
    return Timeline("count", seconds, ordinals, ordinals, key, np.ones(count, dtype=bool), None, start=0, end=count)


def _frame_seconds(video: VideoFile) -> Fraction:
    rate = video.stream.guessed_rate or video.stream.average_rate
    return 1 / rate if rate else Fraction(1, 25)


def _step(ordered: IntArray) -> int:
    """The median distance between frames, ticks."""
    return max(int(np.median(np.diff(ordered))), 1) if len(ordered) > 1 else 1
