"""A frame whose pixels are computed once it is known in which size they are needed. No torch, no decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from models.frames.arrays import UInt8Array
from models.profiles.profile import Interpolation

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class Picture(Protocol):
    """A frame as it is displayed: upright, with square pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def pixels(self) -> UInt8Array:
        """uint8 [height, width, 3], sRGB."""
        ...

    def reduced(self, width: int, height: int, interpolation: Interpolation) -> UInt8Array:
        """The whole frame, resampled without aliasing: uint8 [height, width, 3]. Neither side may be enlarged."""
        ...


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture whose pixels are at hand. rgb: uint8 [H, W, 3]. Raises: ValueError for another shape or type."""

    rgb: UInt8Array

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3], got {self.rgb.dtype} {list(self.rgb.shape)}")

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    def pixels(self) -> UInt8Array:
        return self.rgb

    def reduced(self, width: int, height: int, interpolation: Interpolation) -> UInt8Array:
        return np.asarray(Image.fromarray(self.rgb).resize((width, height), FILTERS[interpolation]))
