"""Decoding one clip: plan, decode what the plan needs, crop each frame once. Runs in a child; never imports torch.

A request without a draw is for evaluation: its frames and crops are fixed. A request with a draw is for training: its
frames and crops are random, and a pure function of (file, profile, seed).
A damaged file yields the frames that can still be decoded, and warnings. It is refused only if there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from models.frames.arrays import IntArray, UInt8Array
from models.frames.augmentation import Draw
from models.frames.picture import Picture, Pixels
from models.frames.sampling import Views, frame_indices, train_indices
from models.frames.transforms import crop_picture, shrink_frame
from models.profiles.profile import Profile
from worker.video.codec import Decoder
from worker.video.colour import Geometry, ShownFrame, geometry
from worker.video.container import VideoFile, VideoInfo, VideoLimits, VideoSource, too_many_pixels
from worker.video.timeline import (
    PacketRun,
    Timeline,
    packet_reader,
    packet_runs,
    read_timeline,
    with_exact_pts,
)


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """frames: T of one clip; the sampling policy and the crops are the profile's. threads: of the decoder.
    draw: random frames and crops, for training. times: seconds from the video's first frame, one for each of the T
    frames, instead of the sampling policy.
    Raises: ValueError for a draw or times of more than one view."""

    profile: Profile
    views: Views
    frames: int
    limits: VideoLimits
    threads: int = 1
    draw: Draw | None = None
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.draw is not None and self.views.count != 1:
            raise ValueError(f"a draw is one view of a video, not {self.views}")
        if self.times is not None and (self.views.count, self.frames) != (1, len(self.times)):
            raise ValueError(f"{len(self.times)} times are as many frames of one view")

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """[V, T, S, S, 3], V = crop · clips + clip."""
        return self.views.count, self.frames, self.profile.size, self.profile.size, 3


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """timestamps: [clips, T], seconds from the video's first frame to each frame that was used. source: how the frames
    were found, see `Timeline.source`. decoded: number of frames that the decoder returned for them."""

    info: VideoInfo
    timestamps: tuple[tuple[float, ...], ...]
    warnings: tuple[str, ...]
    source: str
    decoded: int


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """frames: [clips][T], as `process` returned them, in the order of the selected indices."""

    frames: list[list[UInt8Array]]
    report: DecodeReport


SelectIndices = Callable[[int], IntArray]
"""Number of frames of a video → indices [clips, T] of the frames to decode."""

ProcessFrame = Callable[[Picture], UInt8Array]
"""Crops or shrinks a decoded frame. It is called once per frame."""


def decode_clip(video: VideoSource, request: DecodeRequest, out: UInt8Array) -> DecodeReport:
    """Fills `out`: uint8 [V, T, S, S, 3], sRGB. Raises: UndecodableVideo, VideoTooLarge, MemoryError."""
    if request.draw is not None:
        return _decode_drawn(video, request, request.draw, out)
    profile, views = request.profile, request.views
    decoded = decode_frames(
        video,
        request,
        lambda n: frame_indices(n, request.frames, profile.sampling, views.clips),  # [clips, T]
        lambda picture: crop_picture(picture, profile, views.crops),  # [crops, S, S, 3]
    )
    by_crop = out.reshape(views.crops, views.clips, *out.shape[1:])  # [crops, clips, T, S, S, 3]
    for clip, row in enumerate(decoded.frames):
        for slot, crops in enumerate(row):
            by_crop[:, clip, slot] = crops
    return decoded.report


def _decode_drawn(video: VideoSource, request: DecodeRequest, draw: Draw, out: UInt8Array) -> DecodeReport:
    """RandAugment and colour jitter change every frame of the clip differently, even a repeated one, so they run after
    `process`. They get frames with the profile's short side, as in RandAugment's and T4V's code. Without them, frames
    are cropped at once."""
    profile, late = request.profile, draw.augment.by_frame
    decoded = decode_frames(
        video,
        request,
        lambda n: train_indices(n, request.frames, draw.for_frames(), profile.sampling)[None],  # [1, T]
        lambda picture: shrink_frame(picture, profile) if late else draw.frame(picture, profile, slot=0),
    )
    for slot, frame in enumerate(decoded.frames[0]):
        out[0, slot] = draw.frame(Pixels(frame), profile, slot) if late else frame
    return decoded.report


def decode_frames(
    video: VideoSource, request: DecodeRequest, select: SelectIndices, process: ProcessFrame
) -> DecodedFrames:
    """Decode as little as possible to get the selected frames. Raises: UndecodableVideo, VideoTooLarge, MemoryError."""
    with VideoFile(video, request.limits) as file:
        timeline = read_timeline(file)
        packets = packet_reader(file, timeline)
        if request.times is None:
            times = timeline.times(select(timeline.frames))  # [clips, T]
        else:
            times = timeline.ticks(np.array([request.times]))  # [1, T]
        timeline = with_exact_pts(timeline, packets, times)
        targets = timeline.targets(times)  # [clips, T]
        decoder = Decoder(file, packets, request.threads)
        collector = _FrameCollector(file, timeline, process)
        for run in packet_runs(timeline, targets):
            collector.collect(decoder, run)
        if not collector.shown_at:
            _decode_everything(decoder, collector, targets)
        collector.fill_gaps(targets)
        report = DecodeReport(
            info=_info(file, timeline, collector.geometry),
            timestamps=collector.timestamps(targets),
            warnings=tuple(_warnings(decoder, collector, targets)),
            source=timeline.source,
            decoded=decoder.decoded,
        )
        return DecodedFrames(collector.frames(targets), report)


class _FrameCollector:
    """Collects the wanted frames by ordinal. Each frame is processed once, however many views use it."""

    def __init__(self, video: VideoFile, timeline: Timeline, process: ProcessFrame) -> None:
        self.video, self.timeline, self._process = video, timeline, process
        self._reformatter = VideoReformatter()
        ratio = video.stream.sample_aspect_ratio
        self._aspect = float(ratio) if ratio else 1.0
        self._processed: dict[int, UInt8Array] = {}  # by ordinal
        self.shown_at: dict[int, int] = {}  # ordinal → tick at which the frame used for it is displayed
        self.damaged = 0  # collected frames that the decoder marked as damaged
        self.geometry: Geometry | None = None

    def collect(self, decoder: Decoder, run: PacketRun, everything: bool = False) -> None:
        """Collect the wanted frames of one run: the frame displayed at the exact tick, else the last one before it."""
        pts, counted = self.timeline.pts, self.timeline.source == "count"
        pending = sorted(run.wanted, key=lambda k: int(pts[k]))
        before: tuple[VideoFrame, int] | None = None
        for number, frame in enumerate(decoder.frames(run, everything or counted)):
            at = number if counted else frame.pts if frame.pts is not None else frame.dts
            if at is None:
                continue
            while pending and int(pts[pending[0]]) < at:
                self._add(pending.pop(0), *(before or (frame, at)))
            if pending and int(pts[pending[0]]) == at:
                self._add(pending.pop(0), frame, at)
            before = frame, at
            if not pending:
                return
        for ordinal in pending if before else ():
            assert before is not None
            self._add(ordinal, *before)

    def fill_gaps(self, targets: IntArray) -> None:
        """Use the nearest frame in time for each frame that could not be decoded."""
        pts, decoded = self.timeline.pts, np.array(sorted(self.shown_at), dtype=np.int64)
        for ordinal in map(int, np.unique(targets)):
            if ordinal not in self.shown_at:
                nearest = int(decoded[np.argmin(np.abs(pts[decoded] - pts[ordinal]))])
                self.shown_at[ordinal], self._processed[ordinal] = self.shown_at[nearest], self._processed[nearest]

    def frames(self, targets: IntArray) -> list[list[UInt8Array]]:
        """targets: [clips, T] → [clips][T]."""
        return [[self._processed[int(k)] for k in row] for row in targets]

    def timestamps(self, targets: IntArray) -> tuple[tuple[float, ...], ...]:
        tick, start = float(self.timeline.tick), self.timeline.start
        return tuple(tuple(round((self.shown_at[int(k)] - start) * tick, 6) for k in row) for row in targets)

    def _add(self, ordinal: int, frame: VideoFrame, at: int) -> None:
        if frame.width * frame.height > self.video.limits.max_pixels:  # the size may change mid-stream
            raise too_many_pixels(frame.width, frame.height, self.video.limits)
        self._processed[ordinal] = self._process(ShownFrame(frame, self._reformatter, self._aspect))
        self.shown_at[ordinal] = at
        self.damaged += frame.is_corrupt
        self.geometry = self.geometry or geometry(frame, self._aspect)


def _decode_everything(decoder: Decoder, collector: _FrameCollector, targets: IntArray) -> None:
    """The planned runs gave no frame: decode from the first packet on and use the frames that come."""
    timeline = collector.timeline
    everything = PacketRun(0, len(timeline.pts) - 1, tuple(int(k) for k in np.unique(targets)))
    collector.collect(decoder, everything, everything=True)
    if not collector.shown_at:
        raise collector.video.undecodable(
            f"none of its {timeline.frames} frames could be decoded",
            "no_decodable_frame",
            "The file is damaged or incomplete. Convert it, or upload it again.",
        )


def _warnings(decoder: Decoder, collector: _FrameCollector, targets: IntArray) -> Iterator[str]:
    timeline, wanted = collector.timeline, [int(k) for k in np.unique(targets)]
    slack = 1.5 * (timeline.end - timeline.start) / timeline.frames  # a hidden frame (VP8) is not damage
    replaced = sum(abs(collector.shown_at[k] - int(timeline.pts[k])) > slack for k in wanted)
    if replaced:
        yield f"{replaced} of {len(wanted)} selected frames could not be decoded; the nearest decodable ones were used"
    if collector.damaged:
        yield f"{collector.damaged} of the {len(wanted)} frames used are damaged"
    if decoder.damaged:
        yield f"{collector.video.label}: {decoder.damaged} damaged packets were skipped"
    declared = collector.video.seconds
    if declared and timeline.source != "count" and timeline.seconds < 0.95 * declared - 0.5:
        yield f"the file is incomplete: its header declares {declared:.2f} s, but it holds {timeline.seconds:.2f} s"


def _info(video: VideoFile, timeline: Timeline, shown: Geometry | None) -> VideoInfo:
    assert shown is not None
    info = video.describe().with_geometry(shown)
    return info.with_timing(duration=round(timeline.seconds, 6), frames=timeline.frames)
