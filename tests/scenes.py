"""Films of drawn scenes that `lite` knows, with cuts at known times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

from launcher.sample_clip import draw_frames
from models.frames.arrays import UInt8Array

WIDTH, HEIGHT, FPS = 320, 240, 12
Colour = tuple[int, int, int]


def film(path: Path, shots: Sequence[tuple[str, float]], seed: int = 0) -> Path:
    """Write an MP4 of shots: a label of SCENES and seconds, each a whole number of frames. seed: of the phase at which
    each scene begins. Returns `path`."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20", "g": "24"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for label, seconds in shots:
            phase = rng.uniform(0, 60)
            for index in range(round(seconds * FPS)):
                picture = SCENES[label](phase + index / FPS)
                container.mux(stream.encode(VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def _balloon(time: float) -> UInt8Array:
    frames = _balloon_frames()
    return frames[round(time * FPS) % len(frames)]


@cache
def _balloon_frames() -> list[UInt8Array]:
    return list(draw_frames())


def _traffic_light(time: float) -> UInt8Array:
    image, draw = _canvas((150, 190, 230))
    x = 320 + 20 * math.sin(time)
    draw.rectangle([x - 10, 300, x + 10, 480], fill=(60, 60, 60))
    draw.rounded_rectangle([x - 60, 40, x + 60, 330], 20, fill=(30, 30, 30))
    for number, (red, green, blue) in enumerate([(230, 30, 30), (250, 190, 20), (40, 200, 60)]):
        dark = 1 if number == int(time) % 3 else 4
        top = 60 + number * 90
        draw.ellipse([x - 38, top, x + 38, top + 76], fill=(red // dark, green // dark, blue // dark))
    return _finished(image)


def _clock(time: float) -> UInt8Array:
    image, draw = _canvas((200, 180, 150))
    x, y, radius = 320, 240, 190
    draw.ellipse([x - radius - 14, y - radius - 14, x + radius + 14, y + radius + 14], fill=(90, 50, 20))
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(245, 245, 240))

    def line(angle: float, inner: float, outer: float, width: int) -> None:
        sine, cosine = math.sin(angle), math.cos(angle)
        points = [x + inner * sine, y - inner * cosine, x + outer * sine, y - outer * cosine]
        draw.line(points, fill=(20, 20, 20), width=width)

    for minute in range(60):
        hour = minute % 5 == 0
        line(minute * math.pi / 30, radius - (24 if hour else 8), radius - 4, 6 if hour else 2)
    line(time / 5, 0, 100, 12)
    line(time, 0, 150, 8)
    return _finished(image)


def _spider_web(time: float) -> UInt8Array:
    image, draw = _canvas((40, 80, 40))

    def place(spoke: int, radius: float) -> tuple[float, float]:
        angle = spoke * math.pi / 8 + time / 50
        return 320 + radius * math.sin(angle), 240 - radius * math.cos(angle)

    for spoke in range(16):
        draw.line([(320, 240), place(spoke, 400)], fill=(230, 230, 230), width=2)
    for radius in range(20, 300, 22):
        draw.line([place(spoke, radius) for spoke in range(17)], fill=(230, 230, 230), width=2)
    return _finished(image)


def _crossword(time: float) -> UInt8Array:
    image, draw = _canvas((250, 250, 250))
    black = np.random.default_rng(1).random((15, 11)) < 0.2
    left = 20 + 8 * math.sin(time)
    for (column, row), filled in np.ndenumerate(black):
        x, y = left + column * 40, 20 + row * 40
        draw.rectangle(
            [x, y, x + 40, y + 40], outline=(0, 0, 0), fill=(0, 0, 0) if filled else (255, 255, 255), width=2
        )
    return _finished(image)


def _canvas(colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), colour)
    return image, ImageDraw.Draw(image)


def _finished(image: Image.Image) -> UInt8Array:
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


SCENES: dict[str, Callable[[float], UInt8Array]] = {
    "a hot air balloon": _balloon,
    "a traffic light": _traffic_light,
    "a clock": _clock,
    "a spider web": _spider_web,
    "a crossword puzzle": _crossword,
}
"""Label → the picture at a time in seconds, uint8 [HEIGHT, WIDTH, 3]."""
