"""A frame that is converted and reduced in one pass has the pixels and the geometry of one that is reduced later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from models.frames.arrays import UInt8Array
from models.frames.picture import Picture, Pixels
from models.frames.sampling import Views
from models.frames.transforms import crop_frame, crop_picture
from models.profiles.profile import Interpolation
from tests.clips import BARS, SPECS, ClipSpec, Matrix, render
from tests.models.conftest import tiny_profile
from worker.video.clip import DecodeRequest, decode_frames
from worker.video.colour import ShownFrame
from worker.video.container import VideoLimits

SMOOTH = tiny_profile(size=48, short_side=48)


def scene(width: int, height: int) -> UInt8Array:
    """Slopes, an edge and coloured quarters: uint8 [height, width, 3]."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green = 40 + 160 * x, 40 + 160 * y
    blue = np.where(x + y > 1, 200, 50)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def shown(rgb: UInt8Array, pix_fmt: str, aspect: float = 1.0) -> ShownFrame:
    frame = VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
    return ShownFrame(frame, VideoReformatter(), aspect)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray", "rgb24", "gbrp"]
)
def test_one_pass_is_as_exact_as_two(pix_fmt: str, interpolation: Interpolation) -> None:
    rgb = scene(640, 362)
    if pix_fmt == "gray":
        rgb = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    picture, truth = shown(rgb, pix_fmt), Pixels(rgb).reduced(113, 64, interpolation).astype(int)
    one = np.abs(picture.reduced(113, 64, interpolation) - truth)
    two = np.abs(Pixels(picture.pixels()).reduced(113, 64, interpolation) - truth)
    assert one.mean() < 1.5
    assert one.mean() < two.mean() + 0.3
    assert np.quantile(one, 0.99) <= np.quantile(two, 0.99) + 4


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
def test_stripes_finer_than_the_crop_become_grey_and_no_pattern(interpolation: Interpolation) -> None:
    x = np.arange(1280)
    stripes = np.repeat(np.where(x // 2 % 2, 255, 0).astype(np.uint8)[None, :, None], 720, axis=0).repeat(3, axis=2)
    for turned in (stripes, stripes.swapaxes(0, 1)[:720]):
        reduced = shown(np.ascontiguousarray(turned), "yuv444p").reduced(224, 126, interpolation)
        assert reduced[8:-8, 8:-8].std() < 8
        assert reduced.mean() == pytest.approx(127.5, abs=4)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 17), (1, 300), (700, 2), (4096, 16)])
@pytest.mark.parametrize("crops", [1, 3])
def test_frames_of_any_size_are_cropped_as_from_full_size(size: tuple[int, int], crops: int) -> None:
    picture = shown(scene(*size), "yuv444p")
    cropped = crop_picture(picture, SMOOTH, crops).astype(int)
    assert cropped.shape == (crops, 48, 48, 3)
    assert np.abs(cropped - crop_frame(picture.pixels(), SMOOTH, crops)).mean() < 3


def test_a_huge_step_is_taken_too() -> None:
    reduced = shown(scene(4096, 2304), "yuv420p").reduced(16, 9, "bicubic")
    assert np.abs(reduced.astype(int) - scene(16, 9)).mean() < 12


def test_wide_pixels_are_reduced_to_square_ones() -> None:
    picture = shown(scene(320, 320), "yuv444p", aspect=2.0)
    assert (picture.width, picture.height) == (640, 320)
    later = crop_frame(picture.pixels(), SMOOTH)
    assert np.abs(crop_picture(picture, SMOOTH).astype(int) - later).mean() < 1.5


def both(path: Path) -> tuple[UInt8Array, UInt8Array]:
    """The crops of two frames as they are decoded, and as cut from frames of full size: uint8 [2, S, S, 3] each."""
    later: list[UInt8Array] = []

    def process(picture: Picture) -> UInt8Array:
        later.append(crop_frame(picture.pixels(), SMOOTH)[0])
        now: UInt8Array = crop_picture(picture, SMOOTH)[0]  # [S, S, 3]
        return now

    request = DecodeRequest(SMOOTH, Views(), 2, VideoLimits())
    decoded = decode_frames(path, request, lambda n: np.array([[0, n - 1]]), process)
    return np.stack(decoded.frames[0]), np.stack(later)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_turned_and_mirrored_frames_are_reduced_upright(rotation: int, mirrored: bool, tmp_path: Path) -> None:
    spec = replace(SPECS["h264"], content="bars", matrix="bt601", width=320, height=192)
    now, later = both(render(tmp_path / "turned.mp4", replace(spec, frames=3, rotation=rotation, mirrored=mirrored)))
    assert np.abs(now.astype(int) - later).mean() < 2
    for wrong in (now[:, ::-1], now[:, :, ::-1]):
        assert np.abs(wrong.astype(int) - later).mean() > 20


def test_colours_that_are_transparent_do_not_run_into_visible_ones() -> None:
    """Columns of dark grey, and of white that nobody sees: on black they are darker than the grey."""
    rgba = np.zeros((128, 192, 4), np.uint8)
    rgba[:, ::2] = (40, 40, 40, 255)
    rgba[:, 1::2] = (255, 255, 255, 0)
    picture = ShownFrame(VideoFrame.from_ndarray(rgba, "rgba"), VideoReformatter())
    assert picture.reduced(48, 32, "bicubic").mean() == pytest.approx(20, abs=2)


@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_matrix_and_range_survive_the_reduction(matrix: Matrix, full_range: bool, tmp_path: Path) -> None:
    spec = ClipSpec(codec="ffv1", suffix=".mkv", content="bars", matrix=matrix, full_range=full_range)
    now, _ = both(render(tmp_path / "bars.mkv", replace(spec, frames=3, width=320, height=320)))
    quarters = [now[0, y, x].tolist() for y in (12, 36) for x in (12, 36)]
    assert np.abs(np.array(quarters) - np.array(BARS)).max() <= 3
