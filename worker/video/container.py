"""Opening a video file: its video stream, size and length, or an error that says why it has none.

A hostile file must not open other files or addresses, as a playlist, a concat script or an SVG would. So the demuxer
must be on our list, and the only protocol is `fd`, which reads one open file and can open none. No error message
contains a path or a stack trace.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from core.errors import StorageUnavailable, UndecodableVideo, VideoTooLarge
from worker.video.colour import Geometry

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "gif",
    "apng",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "asf",
    "ogg",
    "h264",
    "hevc",
    "m4v",
    "ivf",
    "obu",
    "mxf",
    "nut",
    "dv",
    "rm",
)
"""Only self-contained formats. hls, dash, concat, image2, sdp, lavfi and others are left out on purpose."""

_FORMATS = "MP4, MOV, MKV, WebM, AVI, GIF and MPEG-TS files are supported. Check that the upload is complete."
_SIGNATURES = ((4, b"ftyp", "MP4"), (0, b"\x1aE\xdf\xa3", "WebM or MKV"), (0, b"RIFF", "AVI"), (0, b"GIF8", "GIF"))
_STILL_PICTURES = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """A video above these limits is refused without decoding it."""

    max_pixels: int = 4096 * 2304  # of one frame
    max_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """duration: seconds. width, height: pixels as displayed, after rotation and pixel aspect. rotation: clockwise."""

    duration: float
    width: int
    height: int
    fps: float | None
    codec: str
    container: str
    frames: int | None
    rotation: int
    has_audio: bool

    def with_geometry(self, geometry: Geometry) -> VideoInfo:
        """The same facts, with the size and rotation of a decoded frame."""
        return replace(self, width=geometry.width, height=geometry.height, rotation=geometry.rotation)

    def with_timing(self, duration: float, frames: int) -> VideoInfo:
        """The same facts, with the duration and number of frames that the packets have."""
        return replace(self, duration=duration, frames=frames, fps=self.fps or round(frames / duration, 3))


VideoSource = Path | int
"""A video by its path, or by a descriptor that is open for reading and stays the caller's."""


class VideoFile:
    """An open file and its video stream. The other streams are not read. Use it as a context manager, because
    containers that stay open leak memory (SlowFast#626).

    Raises: UndecodableVideo, VideoTooLarge (from the header, before any frame is decoded).
    """

    def __init__(self, source: VideoSource, limits: VideoLimits) -> None:
        self.limits = limits
        self._fd, self._owned = (source, False) if isinstance(source, int) else (_open_file(source), True)
        try:
            self.container = _open(self._fd)
        except BaseException:
            self._close_file()
            raise
        try:
            self.stream = _video_stream(self.container)
            _check_limits(self, limits)
            self._discard_others()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def close(self) -> None:
        self.container.close()
        self._close_file()

    def reopen(self) -> None:
        """Go back to the first packet, for formats where seeking is unreliable."""
        self.container.close()
        self.container = _open(self._fd)
        self.stream = self.container.streams.video[self._stream_number]
        self._discard_others()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._name_codec(error)
        self.close()

    @property
    def label(self) -> str:
        return f"video stream {self.stream.index} ({codec_name(self.stream)})"

    @property
    def seconds(self) -> float | None:
        """The length that the header declares; None if it declares none."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration else None

    @property
    def file_bytes(self) -> int:
        return os.fstat(self._fd).st_size

    def describe(self) -> VideoInfo:
        """The facts in the header; `duration` is 0.0 and `frames` None if it does not declare them."""
        codec, rate = self.stream.codec_context, self.stream.average_rate or self.stream.guessed_rate
        return VideoInfo(
            duration=round(self.seconds or 0.0, 6),
            width=codec.width,
            height=codec.height,
            fps=round(float(rate), 3) if rate else None,
            codec=codec_name(self.stream),
            container=container_name(self.container),
            frames=self.stream.frames or None,
            rotation=0,
            has_audio=bool(self.container.streams.audio),
        )

    def undecodable(self, what: str, reason: str, hint: str | None = None) -> UndecodableVideo:
        """An error that names this stream."""
        return UndecodableVideo(
            f"{self.label.capitalize()} cannot be decoded: {what}.", hint=hint, reason=reason, stream=self.stream.index
        )

    def _name_codec(self, error: BaseException | None) -> None:
        """The details of an error about the video say of which codec it is."""
        if isinstance(error, UndecodableVideo | VideoTooLarge) and hasattr(self, "stream"):
            error.details.setdefault("codec", codec_name(self.stream))

    def _close_file(self) -> None:
        if self._owned:
            os.close(self._fd)

    def _discard_others(self) -> None:
        self._stream_number = self.container.streams.video.index(self.stream)
        for other in self.container.streams:
            if other.index != self.stream.index:
                other.discard = Discard.all


def read_video_info(source: VideoSource, limits: VideoLimits) -> VideoInfo:
    """The facts in the header, without decoding. The size is that of the stored frames.

    Raises: UndecodableVideo, VideoTooLarge.
    """
    with VideoFile(source, limits) as video:
        return video.describe()


def container_name(container: InputContainer) -> str:
    """One name for the format. The MOV family is called MP4 unless its brand is QuickTime's."""
    name = container.format.name.split(",")[0]
    if name == "mov" and not container.metadata.get("major_brand", "").startswith("qt"):
        return "mp4"
    return name


def codec_name(stream: VideoStream) -> str:
    """The name of the coding format, not that of the library that decodes it."""
    name = stream.codec_context.name
    return {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(name, name)


def describe_error(error: FFmpegError) -> str:
    """The library's message without the file's path, which `str(error)` contains."""
    return (error.strerror or "unknown error").strip().rstrip(".").lower()


def too_many_pixels(width: int, height: int, limits: VideoLimits) -> VideoTooLarge:
    return VideoTooLarge(
        f"The frames have {width}×{height} pixels, above the limit of {limits.max_pixels} pixels.",
        hint="Scale the video down before sending it.",
        limit=limits.max_pixels,
        reason="too_many_pixels",
        width=width,
        height=height,
    )


def too_long(seconds: float, limits: VideoLimits) -> VideoTooLarge:
    return VideoTooLarge(
        f"The video lasts {seconds:.1f} s, above the limit of {limits.max_seconds:g} s.",
        hint="Cut the video into shorter parts.",
        limit=limits.max_seconds,
        reason="too_long",
        seconds=round(seconds, 3),
    )


def _open_file(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StorageUnavailable("The video is no longer stored.", hint="Upload it again.") from error


def _open(fd: int) -> InputContainer:
    if os.fstat(fd).st_size == 0:
        raise UndecodableVideo("The file is empty.", reason="empty_file", stream=None)
    os.lseek(fd, 0, os.SEEK_SET)  # the library's copy of the descriptor shares its position
    options = {"fd": str(fd), "format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "fd"}
    # an MP4 has its sizes and times in its header: decoding a frame to know them costs 30 ms at 1080p
    probing = {"skip_frame": "all"} if _guess_format(fd) == "MP4" else {}
    try:
        return av.open("fd:", "r", options=probing, container_options=options, metadata_errors="replace")
    except FFmpegError as error:
        # an ArgumentError means: the library knows the format, but it is not on our list
        kind = None if isinstance(error, ArgumentError) else _guess_format(fd)
        if kind is None:
            message, reason = "This is not a video in a supported format.", "not_a_video"
        else:
            message, reason = f"The file begins like {kind}, but it is damaged or incomplete.", "corrupt_container"
        raise UndecodableVideo(message, hint=_FORMATS, reason=reason, stream=None) from error


def _guess_format(fd: int) -> str | None:
    head = os.pread(fd, 16, 0)
    return next((kind for at, magic, kind in _SIGNATURES if head[at:].startswith(magic)), None)


def _video_stream(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & _STILL_PICTURES]
    if not streams:
        found = "only sound" if container.streams.audio else "no moving picture"
        raise UndecodableVideo(
            f"The file has no video stream but {found}.",
            reason="no_video_stream",
            stream=None,
            streams=[s.type for s in container.streams],
        )
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise UndecodableVideo(
            f"There is no decoder for video stream {streams[0].index}.",
            hint="H.264, HEVC, VP8, VP9, AV1 and MPEG-4 are supported. Convert the video to one of them.",
            reason="unsupported_codec",
            stream=streams[0].index,
        )
    return max(
        decodable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.codec_context.width * s.codec_context.height),
    )


def _check_limits(video: VideoFile, limits: VideoLimits) -> None:
    width, height = video.stream.codec_context.width, video.stream.codec_context.height
    if width * height == 0:  # the library also reports 0 for a size that it cannot address
        raise video.undecodable("it has no usable frame size", "no_frame_size")
    if width * height > limits.max_pixels:
        raise too_many_pixels(width, height, limits)
    if video.seconds is not None and video.seconds > limits.max_seconds:
        raise too_long(video.seconds, limits)
