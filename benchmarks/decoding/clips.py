"""The rendered clips of the benchmarks of decoding: a camera that moves over a textured plane, and a part that slides.

Decoding their detail and motion costs as much as real footage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.frames.arrays import UInt8Array

_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "25", "sc_threshold": "0"},
    "libx265": {"preset": "ultrafast", "crf": "28", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "33", "b": "0"},
}


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    width: int
    height: int
    seconds: int
    gop: int
    fps: int = 30
    codec: str = "libx264"
    suffix: str = ".mp4"


CLIPS = (
    Clip("10 s, 340×256, long GOP", 340, 256, 10, 250),
    Clip("5 s, 1280×720, one keyframe", 1280, 720, 5, 1000),
    Clip("60 s, 1920×1080, GOP 60", 1920, 1080, 60, 60),
    Clip("10 s, 640×360, VP9", 640, 360, 10, 128, codec="libvpx-vp9", suffix=".webm"),
    Clip("10 s, 1280×720, HEVC, GOP 50", 1280, 720, 10, 50, codec="libx265"),
    Clip("5 s, 2160×3840, GOP 30", 2160, 3840, 5, 30),
)


def render(clip: Clip, folder: Path) -> Path:
    """The file, made unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{clip.codec}_{clip.width}x{clip.height}_{clip.seconds}s_gop{clip.gop}{clip.suffix}"
    if path.exists():
        return path
    options = {**_OPTIONS[clip.codec], "g": str(clip.gop), "keyint_min": str(clip.gop)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(clip.codec, rate=clip.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        chroma = np.full((clip.height // 2, clip.width), 128, np.uint8)
        for i, luma in enumerate(_luma(clip)):
            frame = VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, clip.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _luma(clip: Clip) -> Iterator[UInt8Array]:
    """uint8 [height, width] of each frame."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 215, (clip.height // 4, clip.width // 4)), np.ones((8, 8))).astype(np.uint8)
    texture += rng.integers(0, 24, texture.shape, dtype=np.uint8)
    for i in range(clip.seconds * clip.fps):
        x, y = (int(size / 2 * (1 + np.sin(i / rate))) for size, rate in ((clip.width, 40), (clip.height, 31)))
        luma = np.array(texture[y : y + clip.height, x : x + clip.width])
        luma[: clip.height // 3, : clip.width // 3] = texture[: clip.height // 3, i : i + clip.width // 3]
        yield luma
