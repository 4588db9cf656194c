"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719): N operations drawn from its 14, all at magnitude M of 30.

Ranges at M = 30 are those of AutoAugment (Cubuk et al. 2019, arXiv:1805.09501, Table 6). Operations with two directions
take each with equal probability. This is our own implementation on Pillow; areas that move into the picture are black.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_MAX_MAGNITUDE = 30
_SHEAR = 0.3
_SHIFT = 150 / 331  # of the side: 150 pixels of AutoAugment's 331
_DEGREES = 30.0
_COLOUR = 0.9  # factors 0.1 … 1.9
_BITS = 4  # Posterize keeps 8 … 4 bits of 8

Operation = Callable[[Image.Image, float], Image.Image]
"""(RGB image, strength in [-1, 1]) → RGB of the same size. Operations with one direction ignore the sign."""


def rand_augment(image: Image.Image, count: int, magnitude: int, rng: np.random.Generator) -> Image.Image:
    """image: RGB; count: N; magnitude: M, 0 … 30 → RGB of the same size."""
    signs = rng.choice((-1.0, 1.0), size=count)
    for choice, sign in zip(rng.integers(len(OPERATIONS), size=count), signs, strict=True):
        image = OPERATIONS[choice](image, float(sign) * magnitude / _MAX_MAGNITUDE)
    return image


class _Enhancer(Protocol):
    def enhance(self, factor: float) -> Image.Image: ...


def _fixed(change: Callable[[Image.Image], Image.Image]) -> Operation:
    return lambda image, _: change(image)


def _enhanced(enhancer: Callable[[Image.Image], _Enhancer]) -> Operation:
    return lambda image, strength: enhancer(image).enhance(1 + _COLOUR * strength)


def _rotate(image: Image.Image, strength: float) -> Image.Image:
    return image.rotate(_DEGREES * strength, Image.Resampling.BILINEAR)


def _solarize(image: Image.Image, strength: float) -> Image.Image:
    return ImageOps.solarize(image, round(256 * (1 - abs(strength))))


def _posterize(image: Image.Image, strength: float) -> Image.Image:
    return ImageOps.posterize(image, 8 - round(_BITS * abs(strength)))


def _shear_x(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, _SHEAR * strength, 0, 0, 1, 0))


def _shear_y(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, 0, 0, _SHEAR * strength, 1, 0))


def _shift_x(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, 0, _SHIFT * strength * image.width, 0, 1, 0))


def _shift_y(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, _SHIFT * strength * image.height))


def _affine(image: Image.Image, matrix: tuple[float, float, float, float, float, float]) -> Image.Image:
    """matrix: pixel (x, y) of the result is pixel (a·x + b·y + c, d·x + e·y + f) of the image."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


OPERATIONS: tuple[Operation, ...] = (
    _fixed(lambda image: image),
    _fixed(ImageOps.autocontrast),
    _fixed(ImageOps.equalize),
    _rotate,
    _solarize,
    _enhanced(ImageEnhance.Color),
    _posterize,
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Sharpness),
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
)
"""The 14 operations of RandAugment's §3, in its order."""
