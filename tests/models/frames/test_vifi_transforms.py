"""ViFi-CLIP's training transforms (method §3.2): multi-scale crops, and colour jitter of each frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.frames.augmentation import VIFI, Augment, Draw, draw_crop_plan
from models.frames.colour_jitter import ColourJitter
from models.frames.picture import Pixels
from tests.models.conftest import tiny_profile

PROFILE = tiny_profile(size=224, short_side=256)


def noise(width: int = 340, height: int = 256) -> Pixels:
    return Pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize(("width", "height"), [(340, 256), (256, 455)])
def test_crops_have_the_scales_and_five_places(width: int, height: int) -> None:
    sides = [int(256 * scale) for scale in (1, 0.875, 0.75, 0.66)]
    seen = set()
    for seed in range(400):
        plan = draw_crop_plan(VIFI, PROFILE, width, height, np.random.default_rng(seed))
        left, top, right, bottom = (round(edge) for edge in plan.box)
        one, other = sides.index(right - left), sides.index(bottom - top)
        assert abs(one - other) <= 1
        steps = (width - sides[one]) // 4, (height - sides[other]) // 4
        places = [(x * steps[0], y * steps[1]) for x, y in ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2))]
        assert (left, top) in places
        seen.add((one, other, places.index((left, top))))
    assert {(one, other) for one, other, _ in seen} == {(i, j) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    assert {place for _, _, place in seen if place} == {1, 2, 3, 4}


def test_colours_change_by_frame_and_are_the_same_again() -> None:
    draw = Draw(3, Augment(scales=(1.0,), jitter=ColourJitter(probability=1.0), flip=0, grayscale=0))
    first, again, other = (draw.frame(noise(), PROFILE, slot) for slot in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    plain = Draw(3, Augment(scales=(1.0,), flip=0, grayscale=0)).frame(noise(), PROFILE, 0)
    assert not np.array_equal(first, plain)
    assert VIFI.by_frame


def test_four_of_five_frames_are_changed_within_the_bounds() -> None:
    grey = Image.fromarray(np.full((8, 8, 3), 100, np.uint8))
    bright = ColourJitter(contrast=0, saturation=0, hue=0)
    levels = [np.asarray(bright.apply(grey, np.random.default_rng(seed))).mean() for seed in range(500)]
    changed = [level for level in levels if level != 100]
    assert len(changed) / len(levels) == pytest.approx(0.8, abs=0.05)
    assert 59 <= min(levels) < 65
    assert 135 < max(levels) <= 140


def test_hue_turns_by_a_tenth_of_the_circle_at_most() -> None:
    red = Image.fromarray(np.tile(np.array([255, 0, 0], np.uint8), (4, 4, 1)))
    only = ColourJitter(probability=1.0, brightness=0, contrast=0, saturation=0)
    hues = []
    for seed in range(200):
        turned = only.apply(red, np.random.default_rng(seed)).convert("HSV")
        hues.append(int(np.asarray(turned)[0, 0, 0]))
    away = [min(hue, 256 - hue) for hue in hues]
    assert 20 <= max(away) <= 27
    assert any(hue > 128 for hue in hues)
    assert any(0 < hue < 128 for hue in hues)


@pytest.mark.parametrize("wrong", [{"scales": ()}, {"scales": (1.5,)}])
def test_impossible_scales_are_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="multi-scale"):
        Augment(scales=wrong["scales"])
