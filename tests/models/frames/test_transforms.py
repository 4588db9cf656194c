from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from models.frames.crops import crop_boxes, resized_size
from models.frames.picture import Pixels
from models.frames.transforms import crop_frame, crop_picture, shrink_frame
from models.profiles.profile import Profile
from tests.models.conftest import tiny_profile

BICUBIC = tiny_profile()
BILINEAR = tiny_profile(interpolation="bilinear", three_crop="vfc")
SQUASH = tiny_profile(resize="squash")


def picture(width: int, height: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("profile", [BICUBIC, BILINEAR, SQUASH])
@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("shape", [(64, 48), (37, 91), (20, 12), (50, 50)])
def test_equals_resize_then_crop(profile: Profile, crops: int, shape: tuple[int, int]) -> None:
    width, height = shape
    rgb = picture(width, height)
    method = Image.Resampling.BILINEAR if profile.interpolation == "bilinear" else Image.Resampling.BICUBIC
    whole = np.asarray(Image.fromarray(rgb).resize(resized_size(width, height, profile, crops), method)).astype(int)
    views = crop_frame(rgb, profile, crops)
    assert views.shape == (crops, profile.size, profile.size, 3)
    for view, (x, y, w, h) in zip(views, crop_boxes(width, height, profile, crops), strict=True):
        assert np.abs(view - whole[y : y + h, x : x + w]).max() <= 2  # rounding of filter coefficients


def test_three_crops_see_both_ends_of_a_portrait_frame() -> None:
    rgb = np.zeros((300, 40, 3), np.uint8)
    rgb[:20], rgb[-20:] = 200, 100
    start, end, middle = crop_frame(rgb, BILINEAR, 3)
    assert start[0].mean() == 200
    assert end[-1].mean() == 100
    assert middle.max() == 0


def test_a_banner_is_never_reduced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """30,000×50 would become 19,200×32, of which 32×32 are used; 2×30,000 would be enlarged."""
    monkeypatch.delattr(Pixels, "reduced")
    for shape in ((50, 30_000, 3), (30_000, 50, 3), (2, 30_000, 3)):
        assert crop_picture(Pixels(np.zeros(shape, np.uint8)), BILINEAR, 3).shape == (3, 32, 32, 3)


@pytest.mark.parametrize("profile", [BICUBIC, BILINEAR, SQUASH])
@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("shape", [(64, 48), (37, 91), (90, 40), (50, 50)])
def test_a_picture_is_cropped_as_its_pixels_are(profile: Profile, crops: int, shape: tuple[int, int]) -> None:
    rgb = picture(*shape)
    views, cut = crop_picture(Pixels(rgb), profile, crops).astype(int), crop_frame(rgb, profile, crops)
    assert np.abs(views - cut).max() <= 2


def test_a_banner_costs_no_more_than_its_crop() -> None:
    views = crop_frame(np.zeros((2, 30_000, 3), np.uint8), BICUBIC, 3)  # resized whole: 540 000 × 36
    assert views.shape == (3, 32, 32, 3)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_refused(bad: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
        crop_frame(bad, BICUBIC)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((640, 480), (48, 36)),
        ((90, 160), (36, 64)),
        ((36, 70), (36, 70)),
        ((20, 12), (20, 12)),
        ((3000, 36), (3000, 36)),
    ],
)
def test_the_cache_keeps_whole_frames_and_enlarges_none(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    rgb = picture(*shape)
    shrunk = shrink_frame(Pixels(rgb), BICUBIC)  # its short side is 36
    assert shrunk.shape == (expected[1], expected[0], 3)
    assert (shrunk == np.asarray(Image.fromarray(rgb).resize(expected, Image.Resampling.BICUBIC))).all()


def test_decode_children_need_no_torch() -> None:
    frames = "models.frames.transforms, models.frames.augmentation, models.frames.sampling"
    code = f"import sys, {frames}, models.profiles.prompts, models.profiles.zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
