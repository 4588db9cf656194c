"""What a file is, before any of its frames is wanted: the right video stream, its size, its length, or why not, in words.

A hostile file may only ever be read itself: the demuxer must be on our list (a playlist, a concat script or an SVG would open
other files or addresses) and the only protocol is `file`. Nothing here shows a path or a stack trace to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from core.errors import UndecodableVideo, VideoTooLarge
from worker.pixels import Geometry

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
"""Self-contained formats only. hls, dash, concat, image2, sdp, lavfi … are absent on purpose."""

_FORMATS = "MP4, MOV, MKV, WebM, AVI, GIF and MPEG-TS files are understood. Is the upload complete?"
_NOT_THE_VIDEO = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these a video is refused, not decoded."""

    max_pixels: int = 4096 * 2304  # of one frame
    max_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """duration: seconds. width, height: pixels as displayed, after rotation and pixel aspect ratio. rotation: degrees clockwise."""

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
        """The same, with the size and rotation of a really decoded frame."""
        return replace(self, width=geometry.width, height=geometry.height, rotation=geometry.rotation)


@contextmanager
def open_video(path: Path, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, closed at the end whatever happens (open containers grow: SlowFast#626).

    Raises: UndecodableVideo, VideoTooLarge (by the header alone, before any frame is decoded).
    """
    container = _open(path)
    try:
        stream = _video_stream(container)
        _check_limits(container, stream, limits)
        yield container, stream
    finally:
        container.close()


def describe(container: InputContainer, stream: VideoStream) -> VideoInfo:
    """What the header says; `duration` is 0.0 and `frames` None where it is silent."""
    codec, rate = stream.codec_context, stream.average_rate or stream.guessed_rate
    return VideoInfo(
        duration=header_seconds(container, stream) or 0.0,
        width=codec.width,
        height=codec.height,
        fps=round(float(rate), 3) if rate else None,
        codec=codec_name(stream),
        container=container.format.name.split(",")[0],
        frames=stream.frames or None,
        rotation=0,
        has_audio=bool(container.streams.audio),
    )


def header_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Length that the header promises, seconds; None where it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(Fraction(container.duration, av.time_base)) if container.duration else None


def codec_name(stream: VideoStream) -> str:
    """The format's name, not the library's that decodes it."""
    name = stream.codec_context.name
    return {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(name, name)


def in_words(error: FFmpegError) -> str:
    """What the library says, without the file's path, which `str(error)` would show."""
    return (error.strerror or "unknown error").strip().rstrip(".").lower()


def stream_label(stream: VideoStream) -> str:
    return f"video stream {stream.index} ({codec_name(stream)})"


def too_many_pixels(width: int, height: int, limits: Limits) -> VideoTooLarge:
    return VideoTooLarge(
        f"frames of {width}×{height} pixels are above the limit of {limits.max_pixels} pixels",
        hint="Scale the video down before sending it.",
        limit=limits.max_pixels,
        reason="too_many_pixels",
        width=width,
        height=height,
    )


def too_long(seconds: float, limits: Limits) -> VideoTooLarge:
    return VideoTooLarge(
        f"the video lasts {seconds:.1f} s, above the limit of {limits.max_seconds:g} s",
        hint="Cut the video into shorter parts.",
        limit=limits.max_seconds,
        reason="too_long",
        seconds=round(seconds, 3),
    )


def _open(path: Path) -> InputContainer:
    if not path.is_file() or path.stat().st_size == 0:
        raise UndecodableVideo("the file is empty", reason="empty_file", stream=None)
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}
    try:
        # "file:" keeps a name such as "concat:a|b" from being read as a protocol
        return av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace")
    except ArgumentError as error:  # how the library says: not on the list
        raise UndecodableVideo(
            "this is not a video in a format that is understood", hint=_FORMATS, reason="not_a_video", stream=None
        ) from error
    except FFmpegError as error:
        raise UndecodableVideo(
            f"this is not a video that can be read: {in_words(error)}",
            hint=_FORMATS,
            reason="corrupt_container",
            stream=None,
        ) from error


def _video_stream(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & _NOT_THE_VIDEO]
    if not streams:
        has = "only sound" if container.streams.audio else "no moving picture"
        raise UndecodableVideo(
            f"the file has no video stream, {has}",
            reason="no_video_stream",
            stream=None,
            streams=[s.type for s in container.streams],
        )
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise UndecodableVideo(
            f"there is no decoder for video stream {streams[0].index}",
            hint="H.264, HEVC, VP8, VP9, AV1 and MPEG-4 are understood.",
            reason="unsupported_codec",
            stream=streams[0].index,
        )
    return max(
        decodable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.codec_context.width * s.codec_context.height),
    )


def _check_limits(container: InputContainer, stream: VideoStream, limits: Limits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height == 0:  # also what the library makes of a size that it could not even address
        raise UndecodableVideo(
            f"{stream_label(stream)} has no usable frame size", reason="no_frame_size", stream=stream.index
        )
    if width * height > limits.max_pixels:
        raise too_many_pixels(width, height, limits)
    seconds = header_seconds(container, stream)
    if seconds is not None and seconds > limits.max_seconds:
        raise too_long(seconds, limits)
