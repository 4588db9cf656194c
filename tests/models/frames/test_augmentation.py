from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.augmentation import Augment, CropPlan, Draw, draw_crop_plan
from models.frames.crops import resized_size
from models.frames.picture import Pixels
from models.profiles.profile import Interpolation, Profile

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 224, 256, ("{}",))
SQUASHED = replace(PROFILE, resize="squash")
SIDES = st.integers(1, 2000)


def plans(width: int, height: int, augment: Augment = Augment(), count: int = 4000) -> list[CropPlan]:  # noqa: B008
    return [draw_crop_plan(augment, PROFILE, width, height, np.random.default_rng(seed)) for seed in range(count)]


def sizes(drawn: list[CropPlan]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Width and height of the boxes, [N, 2]."""
    return np.array([(right - left, bottom - top) for left, top, right, bottom in (plan.box for plan in drawn)])


@given(width=SIDES, height=SIDES, seed=st.integers(0, 2**63), profile=st.sampled_from([PROFILE, SQUASHED]))
def test_the_box_lies_in_the_frame(width: int, height: int, seed: int, profile: Profile) -> None:
    left, top, right, bottom = draw_crop_plan(Augment(), profile, width, height, np.random.default_rng(seed)).box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_area_and_aspect_are_drawn_as_text4vis_does() -> None:
    width, height = 1000, 900  # near square: what covers less than 60 % always fits
    box = sizes(plans(width, height))
    area, aspect = box.prod(axis=1) / (width * height), box[:, 0] / box[:, 1]
    fits = area < 0.6

    assert area.min() == pytest.approx(0.08, abs=0.01)
    assert area.max() == pytest.approx(1, abs=0.06)
    assert np.quantile(area[fits], [0.25, 0.5, 0.75]) == pytest.approx([0.21, 0.34, 0.47], abs=0.02)  # uniform
    assert aspect.min() == pytest.approx(3 / 4, abs=0.02)
    assert aspect.max() == pytest.approx(4 / 3, abs=0.02)
    # uniform in [3/4, 4/3] (mean 1.042), then turned over in half of the cases (mean of 1/a: 0.986)
    assert aspect[fits].mean() == pytest.approx((1.0417 + 0.9863) / 2, abs=0.015)
    assert (aspect[fits] < 1).mean() == pytest.approx(0.5, abs=0.03)


def test_boxes_are_anywhere() -> None:
    drawn = plans(1000, 900)
    box = sizes(drawn)
    left = np.array([plan.box[0] for plan in drawn]) / np.maximum(1000 - box[:, 0], 1)
    top = np.array([plan.box[1] for plan in drawn]) / np.maximum(900 - box[:, 1], 1)
    assert np.quantile(left, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)
    assert np.quantile(top, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_boxes_reach_every_place_and_both_edges() -> None:
    """Squares of 253 in a frame of 256 × 256 have four places in each direction."""
    drawn = plans(256, 256, Augment(area=(0.977, 0.977), aspect=(1.0, 1.0)), count=200)
    assert {plan.box[:2] for plan in drawn} == {(x, y) for x in range(4) for y in range(4)}
    assert {plan.box[2] - plan.box[0] for plan in drawn} == {253}


def test_what_fits_nowhere_becomes_the_largest_square_at_a_random_place() -> None:
    drawn = plans(4000, 300, Augment(area=(0.9, 1.0)), count=300)  # 90 % of a banner is no 4:3
    assert sizes(drawn) == pytest.approx(np.full((300, 2), 300.0), abs=0.1)
    left = np.array([plan.box[0] for plan in drawn])
    assert left.min() < 100
    assert left.max() > 3600


def test_geometry_is_that_of_resizing_first() -> None:
    """The box, taken to resized coordinates, is whole pixels there: the very box that T4V would cut."""
    for seed in range(50):
        plan = draw_crop_plan(Augment(), PROFILE, 640, 480, np.random.default_rng(seed))
        w, h = resized_size(640, 480, PROFILE)
        resized = np.array(plan.box) * [w / 640, h / 480, w / 640, h / 480]
        assert resized == pytest.approx(resized.round(), abs=1e-9)


@pytest.mark.parametrize(("flip", "grayscale"), [(0.5, 0.2), (0.0, 1.0), (1.0, 0.0)])
def test_flip_and_grayscale_come_as_often_as_asked(flip: float, grayscale: float) -> None:
    drawn = plans(340, 256, Augment(flip=flip, grayscale=grayscale))
    assert np.mean([plan.flip for plan in drawn]) == pytest.approx(flip, abs=0.025)
    assert np.mean([plan.grayscale for plan in drawn]) == pytest.approx(grayscale, abs=0.02)


def test_flips_and_greys_are_drawn_apart() -> None:
    drawn = plans(340, 256, Augment(flip=0.5, grayscale=0.5))
    assert np.mean([plan.flip for plan in drawn if plan.grayscale]) == pytest.approx(0.5, abs=0.05)


def test_a_plan_cuts_flips_and_greys() -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = (200, 10, 60)
    image = Image.fromarray(pixels)

    whole = CropPlan((5, 0, 25, 20), 4, flip=False, grayscale=False).apply(image)
    assert (whole[:, 0] == 0).all()
    assert (whole[:, -1] == (200, 10, 60)).all()
    assert (CropPlan((5, 0, 25, 20), 4, flip=True, grayscale=False).apply(image) == whole[:, ::-1]).all()
    gray = CropPlan((5, 0, 25, 20), 4, flip=False, grayscale=True).apply(image)
    assert (gray[:, -1] == round(0.299 * 200 + 0.587 * 10 + 0.114 * 60)).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_large_frame_is_reduced_before_it_is_cropped(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.meshgrid(np.arange(1920), np.arange(1080))
    rings = 128 + 90 * np.cos((x**2 + y**2) / 60_000)
    picture = Pixels(np.stack([rings, x / 8, y / 5], axis=2).astype(np.uint8))
    draw, sizes = Draw(seed, Augment(area=(0.5, 1.0), grayscale=0)), []
    whole = draw.crop(PROFILE, 1920, 1080).apply(Image.fromarray(picture.rgb)).astype(int)
    reduce = Pixels.reduced

    def spy(self: Pixels, width: int, height: int, interpolation: Interpolation) -> UInt8Array:
        sizes.append((width, height))
        return reduce(self, width, height, interpolation)

    monkeypatch.setattr(Pixels, "reduced", spy)
    assert np.abs(draw.frame(picture, PROFILE, 0) - whole).mean() < 0.6
    assert all(448 <= width < 1500 and 448 <= height < 850 for width, height in sizes)
    assert len(sizes) == 1


def test_frames_of_a_clip_share_their_plan_but_not_their_randaugment() -> None:
    image = Pixels(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8))
    plain, mixed = Draw(3, Augment()), Draw(3, Augment(randaugment=(2, 9)))

    assert plain.crop(PROFILE, 80, 64) == mixed.crop(PROFILE, 80, 64)
    assert (plain.frame(image, PROFILE, 0) == plain.frame(image, PROFILE, 5)).all()
    assert len({mixed.frame(image, PROFILE, slot).tobytes() for slot in range(8)}) > 4
    assert (mixed.frame(image, PROFILE, 1) == mixed.frame(image, PROFILE, 1)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"area": (0.0, 1.0)},
        {"area": (0.5, 1.1)},
        {"aspect": (2.0, 1.0)},
        {"flip": 1.5},
        {"grayscale": -0.1},
        {"randaugment": (2, 31)},
        {"randaugment": (-1, 9)},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="not"):
        replace(Augment(), **wrong)  # type: ignore[arg-type]


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ValueError, match="seed"):
        Draw(-1, Augment())
