"""Frames that need no data: dead leaves, which have the edges, areas and spectrum of photographs.

Discs and rectangles hide each other; their radii follow r⁻³, as sizes in photographs do (Lee, Mumford and Huang,
"Occlusion models for natural images", IJCV 2001). A clip pans over one such picture.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models.frames.arrays import UInt8Array

_SHAPES = 500  # enough to cover a picture several times
_SMALLEST, _LARGEST = 0.01, 0.5  # radii, as shares of the picture's side
_PAN = 0.2  # of a frame's side, over a clip


def drawn_clips(clips: int, frames: int, size: int, seed: int) -> UInt8Array:
    """→ uint8 [clips · frames, S, S, 3], sRGB. size: S, pixels."""
    generator = np.random.default_rng(seed)
    return np.concatenate([_clip(generator, frames, size) for _ in range(clips)])


def _clip(generator: np.random.Generator, frames: int, size: int) -> UInt8Array:
    """[frames, S, S, 3]."""
    wide = size + max(round(size * _PAN), 1)
    picture = _picture(generator, wide)
    first, last = np.array([0, generator.integers(wide - size + 1)]), np.array([wide - size, 0])
    corners = np.linspace(first, last, frames).round().astype(int)  # [frames, 2]
    return np.stack([picture[y : y + size, x : x + size] for x, y in corners])


def _picture(generator: np.random.Generator, side: int) -> UInt8Array:
    """[side, side, 3]."""
    light = generator.uniform(0.3, 1.0) * 255  # photographs differ most in their brightness
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        radius = side * _radius(generator)
        x, y = generator.uniform(0, side, 2)
        box = (x - radius, y - radius * generator.uniform(0.3, 1), x + radius, y + radius)
        colour = tuple(int(value) for value in generator.beta(1, 1.5, 3) * light)
        (draw.ellipse if generator.random() < 0.5 else draw.rectangle)(box, fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0, 1.5)))
    noise = generator.normal(0, generator.uniform(0, 8), (side, side, 3))
    return np.clip(np.asarray(image, dtype=np.float32) + noise, 0, 255).astype(np.uint8)


def _radius(generator: np.random.Generator) -> float:
    """Drawn from a density in proportion to r⁻³ between the bounds."""
    near, far = _SMALLEST**-2, _LARGEST**-2
    return float((near - generator.random() * (near - far)) ** -0.5)
