"""Training augmentation of clips (method §3.1): one plan per clip, applied to each of its frames. PIL and numpy, no
torch.

Everything is a pure function of a clip's seed and the size of its frames. Text4Vis resizes the short side and then
crops. `CropPlan` is drawn in those resized coordinates and cuts the same rectangle directly from the source frame, in
one bilinear resample: the geometry is the same, and the pixels are filtered once instead of twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.colour_jitter import ColourJitter
from models.frames.crops import resized_size
from models.frames.picture import Picture
from models.frames.randaugment import rand_augment
from models.profiles.profile import Profile

_REDUCED = 2
"""What a frame is reduced to before a random crop is cut from it: pixels of the source for each pixel of the crop."""
_WORTH_REDUCING = 0.6  # at most this share of the frame's pixels is left
_ATTEMPTS = 10  # T4V transforms.py 328-373; the fallback follows
_FRAMES, _CROP, _OPERATIONS, _COLOURS = (
    1,
    2,
    3,
    4,
)  # one random stream each, so that a draw in one does not shift the others


@dataclass(frozen=True, slots=True)
class Augment:
    """The defaults are Text4Vis' training column (method §3.1), `VIFI` is ViFi-CLIP's (§3.2). The short side before the
    crop is the profile's.

    Raises: ValueError.
    """

    area: tuple[float, float] = (0.08, 1.0)  # share of the frame that the random sized crop covers
    aspect: tuple[float, float] = (3 / 4, 4 / 3)  # drawn uniformly; width and height are swapped with p = 0.5
    flip: float = 0.5  # probability of the horizontal flip
    grayscale: float = 0.2
    randaugment: tuple[int, int] | None = None  # (N, M), drawn anew for each frame; (2, 9) in K400 runs only
    scales: tuple[float, ...] | None = None  # of a multi-scale crop, instead of `area` and `aspect`: §3.2
    jitter: ColourJitter | None = None  # drawn anew for each frame

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1 or not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"area and aspect are ranges, area within (0, 1]: not {self.area}, {self.aspect}")
        if not (0 <= self.flip <= 1 and 0 <= self.grayscale <= 1):
            raise ValueError(f"flip and grayscale are probabilities: not {self.flip}, {self.grayscale}")
        if self.randaugment is not None and not (self.randaugment[0] >= 0 and 0 <= self.randaugment[1] <= 30):
            raise ValueError(f"RandAugment takes N ≥ 0 operations of magnitude 0 … 30, not {self.randaugment}")
        if self.scales is not None and not (self.scales and all(0 < scale <= 1 for scale in self.scales)):
            raise ValueError(f"scales of a multi-scale crop are above 0 and at most 1: not {self.scales}")

    @property
    def by_frame(self) -> bool:
        """Whether frames of a clip are changed differently."""
        return self.randaugment is not None or self.jitter is not None


VIFI = Augment(scales=(1.0, 0.875, 0.75, 0.66), jitter=ColourJitter())


@dataclass(frozen=True, slots=True)
class Draw:
    """One augmentation of a clip. The same seed gives the same pixels, on any machine and in any process."""

    seed: int
    augment: Augment

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"a seed is 0 or more, not {self.seed}")

    def for_frames(self) -> np.random.Generator:
        """The generator that decides which frames are taken."""
        return np.random.default_rng((self.seed, _FRAMES))

    def crop(self, profile: Profile, width: int, height: int) -> CropPlan:
        """The clip's plan for frames of this size."""
        return draw_crop_plan(self.augment, profile, width, height, np.random.default_rng((self.seed, _CROP)))

    def frame(self, picture: Picture, profile: Profile, slot: int) -> UInt8Array:
        """slot: the frame's number in the clip → uint8 [S, S, 3]."""
        plan = self.crop(profile, picture.width, picture.height)
        if self.augment.randaugment is not None:
            operations = np.random.default_rng((self.seed, _OPERATIONS, slot))
            image = rand_augment(Image.fromarray(picture.pixels()), *self.augment.randaugment, operations)
        else:
            image, plan = plan.on_reduced(picture)
        jitter = self.augment.jitter
        if jitter is None:
            return plan.apply(image)
        colours = np.random.default_rng((self.seed, _COLOURS, slot))
        return plan.apply(image, lambda crop: jitter.apply(crop, colours))


@dataclass(frozen=True, slots=True)
class CropPlan:
    """box: left, top, right, bottom in pixels of the source frame, fractions allowed; size: S, the side of the
    output."""

    box: tuple[float, float, float, float]
    size: int
    flip: bool
    grayscale: bool

    def on_reduced(self, picture: Picture) -> tuple[Image.Image, CropPlan]:
        """The picture, no larger than the crop needs, and this plan for it. The resample that is left makes the crop
        `_REDUCED` times smaller, so the first reduction takes next to no detail from it."""
        left, top, right, bottom = self.box
        across, down = (min(_REDUCED * self.size / side, 1.0) for side in (right - left, bottom - top))
        if across * down > _WORTH_REDUCING:
            return Image.fromarray(picture.pixels()), self
        width, height = ceil(picture.width * across), ceil(picture.height * down)
        x, y = width / picture.width, height / picture.height
        box = left * x, top * y, min(right * x, width), min(bottom * y, height)
        return Image.fromarray(picture.reduced(width, height, "bicubic")), replace(self, box=box)

    def apply(self, image: Image.Image, recolour: Callable[[Image.Image], Image.Image] | None = None) -> UInt8Array:
        """image: RGB; recolour: what is done to the crop before it may become grey → uint8 [S, S, 3]."""
        crop = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=self.box)
        if recolour is not None:
            crop = recolour(crop)
        if self.grayscale:
            crop = crop.convert("L").convert("RGB")
        pixels = np.asarray(crop)  # [S, S, 3]
        return pixels[:, ::-1] if self.flip else pixels


def draw_crop_plan(augment: Augment, profile: Profile, width: int, height: int, rng: np.random.Generator) -> CropPlan:
    """A plan for the frames of one clip, which all have size width × height. Raises: ValueError for an empty frame."""
    w, h = resized_size(width, height, profile)
    x, y, box_w, box_h = (_random_sized if augment.scales is None else _multi_scale)(augment, w, h, rng)
    box = (x * width / w, y * height / h, min((x + box_w) * width / w, width), min((y + box_h) * height / h, height))
    flip, grayscale = rng.random(2)
    return CropPlan(box, profile.size, bool(flip < augment.flip), bool(grayscale < augment.grayscale))


def _random_sized(augment: Augment, w: int, h: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """x, y, width, height in the resized w × h frame."""
    for _ in range(_ATTEMPTS):
        area = w * h * rng.uniform(*augment.area)
        aspect = rng.uniform(*augment.aspect)
        box_w, box_h = max(round((area * aspect) ** 0.5), 1), max(round((area / aspect) ** 0.5), 1)
        if rng.random() < 0.5:
            box_w, box_h = box_h, box_w
        if box_w <= w and box_h <= h:
            return _place(w, h, box_w, box_h, rng)
    side = min(w, h)  # T4V's fallback resizes the short side to S and cuts S×S anywhere, so it takes the largest square
    return _place(w, h, side, side, rng)


def _multi_scale(augment: Augment, w: int, h: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Width and height are shares of the short side that are at most one step apart; the place is one of the corners or
    the centre (VFC pipeline.py 785-905)."""
    scales = augment.scales or (1.0,)
    sides = [int(min(w, h) * scale) for scale in scales]
    pairs = [(one, other) for i, one in enumerate(sides) for j, other in enumerate(sides) if abs(i - j) <= 1]
    box_w, box_h = pairs[int(rng.integers(len(pairs)))]
    step_x, step_y = (w - box_w) // 4, (h - box_h) // 4
    x, y = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2))[int(rng.integers(5))]
    return x * step_x, y * step_y, box_w, box_h


def _place(w: int, h: int, box_w: int, box_h: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    return int(rng.integers(w - box_w + 1)), int(rng.integers(h - box_h + 1)), box_w, box_h
