"""Decoding one clip: plan, decode what the plan needs, crop each frame once. Runs in a child; never imports torch.

A request without a draw is the steady look of evaluation. With one it is a look in training: frames and crops are
random, and a pure function of (file, profile, seed).
Damage is answered with the frames that can still be had, and warnings; only a file without one of them is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from models.frames.augmentation import Draw
from models.frames.sampling import Views, frame_indices, train_indices
from models.frames.transforms import crop_frame, shrink_frame
from models.profiles.profile import Profile
from worker.video.codec import Decoder
from worker.video.colour import Geometry, geometry, to_rgb
from worker.video.container import VideoFile, VideoInfo, VideoLimits, too_many_pixels
from worker.video.timeline import (
    IntArray,
    PacketRun,
    Timeline,
    packet_reader,
    packet_runs,
    read_timeline,
    with_exact_pts,
)

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """frames: T of one clip; the sampling policy and the crops are the profile's. threads: of the decoder.
    draw: one look in training. cache: directory of `worker.decoding.frame_cache`.
    Raises: ValueError for a draw of more than one view."""

    profile: Profile
    views: Views
    frames: int
    limits: VideoLimits
    threads: int = 1
    draw: Draw | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.draw is not None and self.views.count != 1:
            raise ValueError(f"a draw is one view of a video, not {self.views}")

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """[V, T, S, S, 3], V = crop · clips + clip."""
        return self.views.count, self.frames, self.profile.size, self.profile.size, 3


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """timestamps: seconds since the video's first frame, [clips, T], of the frames really used. source: how the frames
    were found, `Timeline.source`. decoded: how many frames the decoder put out to get them."""

    info: VideoInfo
    timestamps: tuple[tuple[float, ...], ...]
    warnings: tuple[str, ...]
    source: str
    decoded: int


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """frames: [clips][T], as the look has made them, and in the order of the indices asked for."""

    frames: list[list[UInt8Array]]
    report: DecodeReport


Choice = Callable[[int], IntArray]
"""How many frames a video has → the indices [clips, T] to take."""

Look = Callable[[UInt8Array], UInt8Array]
"""What is made of a frame, uint8 [H, W, 3], as it comes out; done once per frame."""


def decode_clip(path: Path, request: DecodeRequest, out: UInt8Array) -> DecodeReport:
    """Fills `out`: uint8 [V, T, S, S, 3], sRGB. Raises: UndecodableVideo, VideoTooLarge, MemoryError."""
    if request.draw is not None:
        return _decode_drawn(path, request, request.draw, out)
    profile, views = request.profile, request.views
    footage = decode_frames(
        path,
        request,
        lambda n: frame_indices(n, request.frames, profile.sampling, views.clips),  # [clips, T]
        lambda rgb: crop_frame(rgb, profile, views.crops),  # [crops, S, S, 3]
    )
    by_crop = out.reshape(views.crops, views.clips, *out.shape[1:])  # [crops, clips, T, S, S, 3]
    for clip, row in enumerate(footage.frames):
        for slot, crops in enumerate(row):
            by_crop[:, clip, slot] = crops
    return footage.report


def _decode_drawn(path: Path, request: DecodeRequest, draw: Draw, out: UInt8Array) -> DecodeReport:
    """RandAugment changes each frame of the clip on its own, a repeated one too, so that it runs after the look; it
    gets frames of the short side, which is what its authors and T4V gave it. Without it, frames are cut right away."""
    profile, late = request.profile, draw.augment.randaugment is not None
    footage = decode_frames(
        path,
        request,
        lambda n: train_indices(n, request.frames, draw.for_frames())[None],  # [1, T]
        lambda rgb: shrink_frame(rgb, profile) if late else draw.frame(Image.fromarray(rgb), profile, slot=0),
    )
    for slot, frame in enumerate(footage.frames[0]):
        out[0, slot] = draw.frame(Image.fromarray(frame), profile, slot) if late else frame
    return footage.report


def decode_frames(path: Path, request: DecodeRequest, choose: Choice, look: Look) -> DecodedFrames:
    """The least decoding that yields the chosen frames. Raises: UndecodableVideo, VideoTooLarge, MemoryError."""
    with VideoFile(path, request.limits) as video:
        timeline = read_timeline(video)
        packets = packet_reader(video, timeline)
        times = timeline.times(choose(timeline.frames))  # [clips, T]
        timeline = with_exact_pts(timeline, packets, times)
        targets = timeline.targets(times)  # [clips, T]
        decoder = Decoder(video, packets, request.threads)
        album = _FrameCollector(video, timeline, look)
        for run in packet_runs(timeline, targets):
            album.collect(decoder, run)
        if not album.taken:
            _decode_everything(decoder, album, targets)
        album.fill_gaps(targets)
        report = DecodeReport(
            info=_info(video, timeline, album.geometry),
            timestamps=album.timestamps(targets),
            warnings=tuple(_warnings(decoder, album, targets)),
            source=timeline.source,
            decoded=decoder.decoded,
        )
        return DecodedFrames(album.frames(targets), report)


class _FrameCollector:
    """The frames taken, by the ordinal they were wanted for: each is looked at once, however many views ask for it."""

    def __init__(self, video: VideoFile, timeline: Timeline, look: Look) -> None:
        self.video, self.timeline, self._look = video, timeline, look
        self._reformatter = VideoReformatter()
        ratio = video.stream.sample_aspect_ratio
        self._aspect = float(ratio) if ratio else 1.0
        self._looks: dict[int, UInt8Array] = {}  # by ordinal
        self.taken: dict[int, int] = {}  # ordinal → ticks at which the frame taken for it is shown
        self.flawed = 0  # frames taken that the decoder marked as damaged
        self.geometry: Geometry | None = None

    def collect(self, decoder: Decoder, run: PacketRun, everything: bool = False) -> None:
        """The wanted frames of one run: those shown at the very tick, else the last one before it."""
        pts, counted = self.timeline.pts, self.timeline.source == "count"
        pending = sorted(run.wanted, key=lambda k: int(pts[k]))
        before: tuple[VideoFrame, int] | None = None
        for number, frame in enumerate(decoder.frames(run, everything or counted)):
            at = number if counted else frame.pts if frame.pts is not None else frame.dts
            if at is None:
                continue
            while pending and int(pts[pending[0]]) < at:
                self._take(pending.pop(0), *(before or (frame, at)))
            if pending and int(pts[pending[0]]) == at:
                self._take(pending.pop(0), frame, at)
            before = frame, at
            if not pending:
                return
        for ordinal in pending if before else ():
            assert before is not None
            self._take(ordinal, *before)

    def fill_gaps(self, targets: IntArray) -> None:
        """A frame that could not be had gives way to the nearest in time."""
        pts, there = self.timeline.pts, np.array(sorted(self.taken), dtype=np.int64)
        for ordinal in map(int, np.unique(targets)):
            if ordinal not in self.taken:
                nearest = int(there[np.argmin(np.abs(pts[there] - pts[ordinal]))])
                self.taken[ordinal], self._looks[ordinal] = self.taken[nearest], self._looks[nearest]

    def frames(self, targets: IntArray) -> list[list[UInt8Array]]:
        """targets: [clips, T] → [clips][T]."""
        return [[self._looks[int(k)] for k in row] for row in targets]

    def timestamps(self, targets: IntArray) -> tuple[tuple[float, ...], ...]:
        tick, start = float(self.timeline.tick), self.timeline.start
        return tuple(tuple(round((self.taken[int(k)] - start) * tick, 6) for k in row) for row in targets)

    def _take(self, ordinal: int, frame: VideoFrame, at: int) -> None:
        if frame.width * frame.height > self.video.limits.max_pixels:  # the size may change mid-stream
            raise too_many_pixels(frame.width, frame.height, self.video.limits)
        self._looks[ordinal] = self._look(to_rgb(frame, self._reformatter, self._aspect))
        self.taken[ordinal] = at
        self.flawed += frame.is_corrupt
        self.geometry = self.geometry or geometry(frame, self._aspect)


def _decode_everything(decoder: Decoder, album: _FrameCollector, targets: IntArray) -> None:
    """Nothing came out of the planned runs: decode from the first packet on, and take what there is."""
    timeline = album.timeline
    everything = PacketRun(0, len(timeline.pts) - 1, tuple(int(k) for k in np.unique(targets)))
    album.collect(decoder, everything, everything=True)
    if not album.taken:
        raise album.video.undecodable(
            f"none of its {timeline.frames} frames could be decoded",
            "no_decodable_frame",
            "The file is damaged or was cut off.",
        )


def _warnings(decoder: Decoder, album: _FrameCollector, targets: IntArray) -> Iterator[str]:
    timeline, wanted = album.timeline, [int(k) for k in np.unique(targets)]
    slack = 1.5 * (timeline.end - timeline.start) / timeline.frames  # a hidden frame (VP8) is no damage
    replaced = sum(abs(album.taken[k] - int(timeline.pts[k])) > slack for k in wanted)
    if replaced:
        yield f"{replaced} of {len(wanted)} wanted frames could not be decoded; the nearest decodable ones were used"
    if album.flawed:
        yield f"{album.flawed} of {len(wanted)} frames used are damaged"
    if decoder.damaged:
        yield f"{album.video.label}: {decoder.damaged} damaged packets were skipped"
    promised = album.video.seconds
    if promised and timeline.source != "count" and timeline.seconds < 0.95 * promised - 0.5:
        yield f"the file is cut off: it promises {promised:.2f} s, {timeline.seconds:.2f} s are there"


def _info(video: VideoFile, timeline: Timeline, shown: Geometry | None) -> VideoInfo:
    assert shown is not None
    info = video.describe().with_geometry(shown)
    return info.with_timing(duration=round(timeline.seconds, 6), frames=timeline.frames)
