"""Rendered clips for training: encoded videos whose frames are independent of each other.

Each frame is a keyframe with a constant quantiser, so a compressed frame holds nothing of its neighbours: no artefact
of an earlier frame reveals the direction of a movement.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.frames.arrays import FloatArray, UInt8Array

_KEYFRAMES_ONLY = {"preset": "ultrafast", "qp": "18", "g": "1", "bf": "0"}


def encode(path: Path, frames: Iterable[UInt8Array], fps: int = 24) -> None:
    """Write an MP4 with H.264. frames: uint8 [H, W, 3] each, all of one size, which is even."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_KEYFRAMES_ONLY)
        assert isinstance(stream, VideoStream)
        first, *others = frames
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in (first, *others):
            container.mux(stream.encode(VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))


def background(rng: np.random.Generator, height: int, width: int, strength: float = 60.0) -> FloatArray:
    """A soft texture around a random colour, float [H, W, 3], 0 … 255."""
    coarse = rng.normal(size=(4, 4, 3))
    rows, columns = np.linspace(0, 3, height), np.linspace(0, 3, width)
    across = np.stack([[np.interp(columns, range(4), line[:, c]) for c in range(3)] for line in coarse])  # [4, 3, W]
    flat = across.reshape(4, -1)  # [4, 3 · W]
    field = np.stack([np.interp(rows, range(4), flat[:, i]) for i in range(flat.shape[1])])  # [3 · W, H]
    soft = field.reshape(3, width, height).transpose(2, 1, 0)  # [H, W, 3]
    return np.clip(rng.uniform(40, 215, 3) + strength * soft, 0, 255)  # [H, W, 3]
