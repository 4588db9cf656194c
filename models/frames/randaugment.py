"""RandAugment as Text4Vis ran it on Kinetics: N operations drawn with replacement, all at magnitude M of 30.

The operations and their ranges are those of ildoonet's package, which the released code used (method §3.1). They differ
from the paper's (Cubuk et al. 2020, arXiv:1909.13719): there is no identity, and Invert, SolarizeAdd and Cutout are
among them. The value of an operation is lo + M / 30 · (hi − lo), so M = 9 is a strong Posterize (1 bit) and a colour
factor of 0.64. This is our own implementation on Pillow. Areas that move into the picture are black, and moved pixels
are taken from the nearest one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

MAX_MAGNITUDE = 30
_SOLARIZE_ADD_THRESHOLD = 128
_CUTOUT_COLOUR = (125, 123, 114)  # sRGB

Change = Callable[[Image.Image, float, np.random.Generator], Image.Image]
"""(RGB image, value, generator) → RGB of the same size. Only Cutout draws, its place."""


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    low: float  # value at M = 0
    high: float  # value at M = 30
    change: Change
    signed: bool = False  # the value is negated with p = 0.5

    def value(self, magnitude: float) -> float:
        """magnitude: M, 0 … 30."""
        return self.low + magnitude / MAX_MAGNITUDE * (self.high - self.low)


def rand_augment(image: Image.Image, count: int, magnitude: int, rng: np.random.Generator) -> Image.Image:
    """image: RGB; count: N; magnitude: M, 0 … 30 → RGB of the same size."""
    for choice in rng.integers(len(OPERATIONS), size=count):
        operation = OPERATIONS[choice]
        negate = operation.signed and rng.random() < 0.5
        value = operation.value(magnitude)
        image = operation.change(image, -value if negate else value, rng)
    return image


class _Enhancer(Protocol):
    def enhance(self, factor: float) -> Image.Image: ...


def _fixed(change: Callable[[Image.Image], Image.Image]) -> Change:
    return lambda image, _value, _rng: change(image)


def _enhanced(enhancer: Callable[[Image.Image], _Enhancer]) -> Change:
    return lambda image, factor, _rng: enhancer(image).enhance(factor)


def _rotate(image: Image.Image, degrees: float, _rng: np.random.Generator) -> Image.Image:
    return image.rotate(degrees)


def _posterize(image: Image.Image, bits: float, _rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(image, max(1, int(bits)))


def _solarize(image: Image.Image, threshold: float, _rng: np.random.Generator) -> Image.Image:
    return image.point([level if level < threshold else 255 - level for level in range(256)] * 3)


def _solarize_add(image: Image.Image, addition: float, rng: np.random.Generator) -> Image.Image:
    """Brighter by `addition`; what then is at or above 128 is inverted."""
    brighter = image.point([min(level + int(addition), 255) for level in range(256)] * 3)
    return _solarize(brighter, _SOLARIZE_ADD_THRESHOLD, rng)


def _cutout(image: Image.Image, side: float, rng: np.random.Generator) -> Image.Image:
    """A grey square of `side` pixels around a random point. At the left and top edge it is moved in, at the right and
    bottom edge it is cut off."""
    width, height = image.size
    left, top = (int(max(0.0, rng.uniform(0, length) - side / 2)) for length in (width, height))
    covered = image.copy()
    ImageDraw.Draw(covered).rectangle((left, top, min(width, left + side), min(height, top + side)), _CUTOUT_COLOUR)
    return covered


def _moved(matrix: Callable[[float], tuple[float, float, float, float, float, float]]) -> Change:
    """matrix: of a value; pixel (x, y) of the result is pixel (a·x + b·y + c, d·x + e·y + f) of the image."""
    return lambda image, value, _rng: image.transform(image.size, Image.Transform.AFFINE, matrix(value))


OPERATIONS: tuple[Operation, ...] = (
    Operation("auto_contrast", 0, 1, _fixed(ImageOps.autocontrast)),
    Operation("equalize", 0, 1, _fixed(ImageOps.equalize)),
    Operation("invert", 0, 1, _fixed(ImageOps.invert)),
    Operation("rotate", 0, 30, _rotate, signed=True),  # degrees
    Operation("posterize", 0, 4, _posterize),  # bits that are kept, at least 1
    Operation("solarize", 0, 256, _solarize),  # levels from this one on are inverted
    Operation("solarize_add", 0, 110, _solarize_add),  # levels
    Operation("color", 0.1, 1.9, _enhanced(ImageEnhance.Color)),  # factors
    Operation("contrast", 0.1, 1.9, _enhanced(ImageEnhance.Contrast)),
    Operation("brightness", 0.1, 1.9, _enhanced(ImageEnhance.Brightness)),
    Operation("sharpness", 0.1, 1.9, _enhanced(ImageEnhance.Sharpness)),
    Operation("shear_x", 0, 0.3, _moved(lambda share: (1, share, 0, 0, 1, 0)), signed=True),
    Operation("shear_y", 0, 0.3, _moved(lambda share: (1, 0, 0, share, 1, 0)), signed=True),
    Operation("cutout", 0, 40, _cutout),  # pixels
    Operation("translate_x", 0, 100, _moved(lambda pixels: (1, 0, pixels, 0, 1, 0)), signed=True),  # pixels
    Operation("translate_y", 0, 100, _moved(lambda pixels: (1, 0, 0, 0, 1, pixels)), signed=True),
)
"""The 16 operations of method §3.1's table."""
