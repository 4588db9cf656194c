"""The clip that `vireo sample` writes: a striped hot air balloon rises over hills. It is drawn here, so it belongs to
nobody, and the embedded model `lite` recognises it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

WIDTH, HEIGHT, FPS, SECONDS = 320, 240, 12, 4
ANSWER = "a hot air balloon"
LABELS = (ANSWER, "a kite", "an umbrella", "a bird", "riding a bicycle")

_SCALE = 3  # frames are drawn this much larger and then reduced, which smooths the edges
_W, _H = WIDTH * _SCALE, HEIGHT * _SCALE
_SKY = (70, 130, 200), (200, 225, 240)  # top and bottom, sRGB
_HILLS = ((110, 140, 120), 0.82, 0.05, 0.0), ((70, 110, 60), 0.90, 0.04, 2.0)  # colour, height, amplitude, phase
_STRIPES = (200, 40, 40), (240, 200, 60)
_STRIPE_COUNT = 12
_BASKET, _ROPE = (120, 75, 35), (60, 40, 30)
_RADIUS = 0.27 * _H


def write_sample(path: Path) -> None:
    """Encode the clip as H.264. Raises: OSError if the file cannot be written."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in draw_frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def draw_frames() -> Iterator[npt.NDArray[np.uint8]]:
    """The frames in order, uint8 [H, W, 3], sRGB."""
    landscape = _landscape()
    for index in range(FPS * SECONDS):
        time = index / (FPS * SECONDS)
        image = landscape.copy()
        _draw_balloon(ImageDraw.Draw(image), (0.3 + 0.4 * time) * _W, (0.45 - 0.12 * time) * _H)
        yield np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def _landscape() -> Image.Image:
    share = np.linspace(0, 1, _H)[:, None, None]  # [H, 1, 1]
    top, bottom = np.array(_SKY)
    sky = np.broadcast_to(top * (1 - share) + bottom * share, (_H, _W, 3))  # [H, 1, 3] → [H, W, 3]
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for colour, height, amplitude, phase in _HILLS:
        ridge = [(x, (height + amplitude * math.sin(5 * x / _W + phase)) * _H) for x in range(0, _W + 1, 6)]
        draw.polygon([(0, _H), *ridge, (_W, _H)], fill=colour)
    return image


def _draw_balloon(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """`x`, `y`: the centre of the envelope."""
    for row in range(round(-_RADIUS), round(1.45 * _RADIUS)):
        half = _half_width(row)
        for stripe in range(_STRIPE_COUNT):
            left, right = (math.cos(math.pi * (stripe + side) / _STRIPE_COUNT) * half for side in (0, 1))
            light = 0.65 + 0.35 * math.sin(0.9 * math.pi * (stripe + 0.5) / _STRIPE_COUNT + 0.5)
            red, green, blue = (round(value * light) for value in _STRIPES[stripe % 2])
            draw.line([(x - left, y + row), (x - right, y + row)], fill=(red, green, blue))
    half, top, bottom = 0.16 * _RADIUS, y + 1.45 * _RADIUS, y + 1.75 * _RADIUS
    for side in (-half, half):
        draw.line([(x + side, top), (x + side, bottom)], fill=_ROPE, width=_SCALE)
    draw.rectangle([x - half, bottom, x + half, bottom + 0.22 * _RADIUS], fill=_BASKET)


def _half_width(row: int) -> float:
    """Half of the envelope's width, `row` pixels below its centre: a sphere above, a cone below."""
    edge = 0.3 * _RADIUS  # where the sphere ends
    if row < edge:
        return math.sqrt(max(_RADIUS**2 - row**2, 0))
    share = (row - edge) / (1.15 * _RADIUS)
    return math.sqrt(_RADIUS**2 - edge**2) * (1 - share) + 0.16 * _RADIUS * share
