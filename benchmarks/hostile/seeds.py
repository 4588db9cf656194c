"""Good clips to damage: each container that the worker accepts, and each codec that the library can encode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import av
from av.codec import Codec
from av.error import FFmpegError
from av.video.stream import VideoStream

from tests.clips import SPECS, ClipSpec, render, render_audio, render_cover

FRAMES: Final = 8
_CONTAINERS: Final = ("avi", "mov", "matroska", "nut")
_SIZE: Final = (176, 144)  # H.261 and the like know few sizes
_HARDWARE: Final = ("_amf", "_nvenc", "_qsv", "_v4l2m2m", "_vaapi")
_QUIET: Final = {"x265-params": "log-level=none"}
_NO_VIDEO: Final = frozenset({"wrapped_avframe", "vnull", "a64multi", "a64multi5"})  # not files that anyone sends

_MORE: Final[dict[str, ClipSpec]] = {
    "raw_hevc": ClipSpec(".hevc", "libx265", format="hevc", options=SPECS["hevc"].options),
    "raw_mpeg4": ClipSpec(".m4v", "mpeg4", format="m4v"),
    "raw_mpeg2": ClipSpec(".m2v", "mpeg2video", format="mpeg2video"),
    "ivf": ClipSpec(".ivf", "libvpx", options=SPECS["vp8_webm"].options),
    "obu": ClipSpec(".obu", "libsvtav1", options=SPECS["av1_mp4"].options),
    "mxf": ClipSpec(".mxf", "mpeg2video"),
    "nut": ClipSpec(".nut", "ffv1"),
    "dv": ClipSpec(".dv", "dvvideo", width=720, height=576),
    "ogg": ClipSpec(".ogg", "libvpx", options=SPECS["vp8_webm"].options),
    "rm": ClipSpec(".rm", "rv10", width=176, height=144),
    "apng": ClipSpec(".apng", "apng", pix_fmt="rgb24"),
}


def render_seeds(folder: Path) -> list[Path]:
    """The clips, in a fixed order. Those that are there already are not rendered again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in (SPECS | _MORE).items():
        path = folder / f"spec_{name}{spec.suffix}"
        if not path.exists():
            render(path, replace(spec, frames=FRAMES, gop=4, times=spec.times and spec.times[:FRAMES]))
    for name, maker in {"sound.m4a": render_audio, "cover.mp4": render_cover}.items():
        if not (folder / name).exists():
            maker(folder / name)
    for codec in encoders():
        _render_codec(folder, codec)
    return sorted(path for path in folder.iterdir() if path.stat().st_size)


def encoders() -> Iterator[str]:
    """Of video, in software, each under its own name only."""
    for name in sorted(av.codecs_available - _NO_VIDEO):
        with suppress(ValueError):  # it only decodes
            codec = Codec(name, "w")
            if codec.type == "video" and codec.name == name and not name.endswith(_HARDWARE):
                yield name


def _render_codec(folder: Path, codec: str) -> None:
    """Into the first container that takes it. An encoder that takes none of them leaves an empty file, as a mark."""
    path = folder / f"codec_{codec}"
    if path.exists():
        return
    for container in _CONTAINERS:
        with suppress(FFmpegError, ValueError, OverflowError):
            _encode(path, codec, container)
            return
    path.write_bytes(b"")


def _encode(path: Path, codec: str, container: str) -> None:
    pixels = (Codec(codec, "w").video_formats or [av.VideoFormat("yuv420p")])[0].name
    with av.open(str(path), "w", format=container) as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=25, options=_QUIET))
        stream.width, stream.height, stream.pix_fmt = *_SIZE, pixels
        stream.codec_context.thread_count = 1
        for number in range(FRAMES):
            frame = av.VideoFrame(*_SIZE, "gray")
            frame.planes[0].update(bytes((number * 20 + x) % 256 for x in range(frame.planes[0].buffer_size)))
            frame = frame.reformat(format=pixels)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
