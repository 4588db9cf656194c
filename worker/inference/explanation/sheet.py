"""The attention sheet: the frames that a model looked at, with the attention of its image tower over each, as one PNG.

It is at most 1288 × 1392 pixels. No text of a user is drawn, and the same frames give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.frames.arrays import FloatArray, UInt8Array

MOST_FRAMES = 32
COLUMNS = 8
TILE = 160  # pixels, side of a frame
GAP = 1  # pixels around a frame
CAPTION = 26  # pixels below a frame
CELL = TILE + GAP, 2 * (TILE + GAP) + CAPTION  # pixels, width and height

_STRONGEST = 99.0  # percentile of the attention that is drawn in full: single outliers would make the rest pale
_INK, _PAPER = (51, 51, 51), (255, 255, 255)
_COLD, _WARM = np.array([255.0, 220.0, 0.0]), np.array([200.0, 0.0, 0.0])


@dataclass(frozen=True, slots=True)
class Tile:
    """A frame uint8 [S, S, 3], its map [h, h], its time in seconds, and what it adds to the similarity."""

    frame: UInt8Array
    attention: FloatArray
    time: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Picture:
    png: bytes
    width: int  # pixels
    height: int


def shown_places(frames: int) -> list[int]:
    """The frames that a sheet shows: all, or `MOST_FRAMES` of them at equal distances, with the first and the last."""
    if frames <= MOST_FRAMES:
        return list(range(frames))
    return [round(place) for place in np.linspace(0, frames - 1, MOST_FRAMES)]


def draw_sheet(tiles: Sequence[Tile]) -> Picture:
    """Each frame as the model saw it, below it the frame with its map, and a caption with time and contribution. All
    maps have one scale: the more attention, the redder."""
    columns = min(len(tiles), COLUMNS)
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (columns * CELL[0], rows * CELL[1]), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    full = float(np.percentile(np.stack([tile.attention for tile in tiles]), _STRONGEST)) or 1.0
    for number, tile in enumerate(tiles):
        left, top = number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]
        frame = Image.fromarray(tile.frame).resize((TILE, TILE), Image.Resampling.BICUBIC)
        sheet.paste(frame, (left, top))
        sheet.paste(_covered(frame, tile.attention / full), (left, top + TILE + GAP))
        caption = f"{tile.time:.2f} s   {tile.contribution:+.4f}"
        pen.text((left + 3, top + 2 * (TILE + GAP) + 4), caption, fill=_INK, font=font)
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return Picture(file.getvalue(), sheet.width, sheet.height)


def _covered(frame: Image.Image, strength: FloatArray) -> Image.Image:
    """The frame under colours from clear through yellow to red. strength: [h, h], 1 in full."""
    grown = Image.fromarray(strength.astype(np.float32)).resize((TILE, TILE), Image.Resampling.BICUBIC)
    weight = np.clip(np.asarray(grown), 0.0, 1.0)[..., None]  # [TILE, TILE, 1]
    colour = _COLD + (_WARM - _COLD) * weight  # [TILE, TILE, 3]
    pixels = np.asarray(frame) * (1 - 0.7 * weight) + colour * 0.7 * weight
    return Image.fromarray(pixels.round().astype(np.uint8))
