"""Random changes of brightness, contrast, saturation and hue, in random order (torchvision's ColorJitter, which
ViFi-CLIP draws for each frame; method §3.2). PIL and numpy, no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance


@dataclass(frozen=True, slots=True)
class ColourJitter:
    """probability: of any change; the others: largest change, of hue as a share of the circle. Raises: ValueError."""

    probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1

    def __post_init__(self) -> None:
        changes = self.brightness, self.contrast, self.saturation
        if (
            not 0 <= self.probability <= 1
            or not all(0 <= change <= 1 for change in changes)
            or not 0 <= self.hue <= 0.5
        ):
            raise ValueError(f"colour jitter takes a probability, changes of 0 to 1 and a hue of 0 to 0.5: not {self}")

    def apply(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """image: RGB → RGB."""
        if rng.random() >= self.probability:
            return image
        factors = [1 + rng.uniform(-change, change) for change in (self.brightness, self.contrast, self.saturation)]
        shift = rng.uniform(-self.hue, self.hue)
        for operation in rng.permutation(4):
            if operation == 0:
                image = ImageEnhance.Brightness(image).enhance(factors[0])
            elif operation == 1:
                image = ImageEnhance.Contrast(image).enhance(factors[1])
            elif operation == 2:
                image = ImageEnhance.Color(image).enhance(factors[2])
            else:
                image = _shift_hue(image, shift)
        return image


def _shift_hue(image: Image.Image, shift: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(round(shift * 255) % 256)  # wraps: hue is a circle
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
