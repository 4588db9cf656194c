"""The cosines between the rows of W as a picture (Text4Vis, Fig. 1). No text of a user is drawn: rows and columns are
numbered."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.frames.arrays import FloatArray
from worker.inference.explanation.sheet import Picture

LARGEST_CELL = 36  # pixels
SIDE = 1080  # pixels of the cells together, at most, unless one pixel each is more
MARGIN = 30  # pixels for the numbers
_PAPER, _INK = (255, 255, 255), (51, 51, 51)
_WARM, _COLD = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])


def draw_heat_map(cosines: FloatArray) -> Picture:
    """cosines: [C, C], from −1 (blue) through 0 (white) to 1 (red)."""
    count = len(cosines)
    cell = max(1, min(LARGEST_CELL, SIDE // count))
    strength = np.clip(cosines, -1.0, 1.0)[..., None]  # [C, C, 1]
    colour = np.where(strength >= 0, _WARM, _COLD)  # [C, C, 3]
    pixels = (255.0 + (colour - 255.0) * np.abs(strength)).round().astype(np.uint8)
    squares = Image.fromarray(pixels).resize((count * cell, count * cell), Image.Resampling.NEAREST)
    picture = Image.new("RGB", (squares.width + MARGIN, squares.height + MARGIN), _PAPER)
    picture.paste(squares, (MARGIN, MARGIN))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=11)
    every = -(-24 // cell)  # ceil: a number needs about 24 pixels
    for place in range(0, count, every):
        at = MARGIN + place * cell + cell / 2
        pen.text((at, MARGIN - 4), str(place + 1), fill=_INK, font=font, anchor="ms")
        pen.text((MARGIN - 4, at), str(place + 1), fill=_INK, font=font, anchor="rm")
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return Picture(file.getvalue(), picture.width, picture.height)
