"""Clips that are on every machine: pans over photographs that come with packages that we need, and drawn ones.

Engines are calibrated on some and checked on others. The photographs: two of scikit-learn, one of Matplotlib.
"""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
from PIL import Image

from models.engines.drawn_frames import drawn_clips
from models.frames.arrays import UInt8Array

_PHOTOGRAPHS = (
    ("sklearn.datasets.images", "china.jpg"),
    ("sklearn.datasets.images", "flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
_CLOSEST = 0.4  # side of the smallest part that is shown, as a share of the photograph's short side


def clips_at_hand(clips: int, frames: int, size: int, seed: int) -> UInt8Array:
    """→ uint8 [clips · frames, S, S, 3], sRGB: one half of photographs, one half drawn. size: S, pixels."""
    generator = np.random.default_rng(seed)
    photographs = _photographs()
    shown = [_pan(generator, photographs[k % len(photographs)], frames, size) for k in range(clips // 2)]
    return np.concatenate([*shown, drawn_clips(clips - len(shown), frames, size, seed)])


def _photographs() -> list[Image.Image]:
    """Those that this machine has."""
    found = []
    for package, name in _PHOTOGRAPHS:
        with as_file(files(package).joinpath(name)) as path:
            if path.is_file():
                found.append(Image.open(path).convert("RGB"))
    return found


def _pan(generator: np.random.Generator, photograph: Image.Image, frames: int, size: int) -> UInt8Array:
    """From one square of the photograph to another of the same size, [frames, S, S, 3]."""
    side = min(photograph.size) * generator.uniform(_CLOSEST, 1)
    room = np.array(photograph.size) - side
    corners = np.linspace(generator.uniform(0, room), generator.uniform(0, room), frames)  # [frames, 2]
    light = generator.uniform(0.5, 1.2)
    return np.stack([_square(photograph, x, y, side, size, light) for x, y in corners])


def _square(photograph: Image.Image, x: float, y: float, side: float, size: int, light: float) -> UInt8Array:
    """[S, S, 3]."""
    box = (x, y, x + side, y + side)
    pixels = np.asarray(photograph.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.float32)
    square: UInt8Array = np.clip(pixels * light, 0, 255).astype(np.uint8)
    return square
