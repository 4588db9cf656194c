"""Each operation at M = 9 against values computed by hand from the table of method §3.1, and how they are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.frames import randaugment
from models.frames.randaugment import OPERATIONS, rand_augment

UInt8Array = npt.NDArray[np.uint8]

BY_NAME = {operation.name: operation for operation in OPERATIONS}

# Operation → its value at M = 9, from the table (method §3.1, last sentence).
AT_NINE = {
    "rotate": 9.0,
    "posterize": 1.2,
    "solarize": 76.8,
    "solarize_add": 33.0,
    "color": 0.64,
    "contrast": 0.64,
    "brightness": 0.64,
    "sharpness": 0.64,
    "shear_x": 0.09,
    "shear_y": 0.09,
    "cutout": 12.0,
    "translate_x": 30.0,
    "translate_y": 30.0,
}


def picture() -> Image.Image:
    """Coarse colour noise, dark to middling, 80 × 60."""
    blocks = np.random.default_rng(0).integers(20, 180, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((80, 60), Image.Resampling.BICUBIC)


def row(*pixels: tuple[int, int, int]) -> Image.Image:
    return Image.fromarray(np.array([pixels], np.uint8))


def changed(name: str, image: Image.Image, sign: float = 1.0, magnitude: float = 9) -> UInt8Array:
    operation = BY_NAME[name]
    return np.asarray(operation.change(image, sign * operation.value(magnitude), np.random.default_rng(0)))


def test_the_operations_are_the_table_s() -> None:
    assert {*BY_NAME} == {*AT_NINE, "auto_contrast", "equalize", "invert"}
    assert {name: BY_NAME[name].value(9) for name in AT_NINE} == pytest.approx(AT_NINE)
    signed = {name for name, operation in BY_NAME.items() if operation.signed}
    assert signed == {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("invert", (0, 100, 255), (255, 155, 0)),
        ("posterize", (127, 128, 255), (0, 128, 128)),  # the highest of 8 bits
        ("solarize", (76, 77, 255), (76, 178, 0)),
        ("solarize_add", (0, 94, 95), (33, 127, 127)),  # 95 + 33 = 128, of 255 is 127 after the inversion
        ("solarize_add", (120, 222, 255), (102, 0, 0)),
        ("brightness", (0, 100, 200), (0, 64, 128)),
    ],
)
def test_an_operation_on_levels(name: str, before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
    assert changed(name, row(before)).tolist() == [[list(after)]]


def test_color_is_a_mix_with_grey() -> None:
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 0  # ITU-R 601 luma
    expected = [grey + 0.64 * (level - grey) for level in (200, 100, 0)]
    assert changed("color", row((200, 100, 0)))[0, 0].tolist() == pytest.approx(expected, abs=1)


def test_contrast_is_a_mix_with_the_mean_level() -> None:
    image = row((200, 200, 200), (100, 100, 100))
    expected = [150 + 0.64 * (level - 150) for level in (200, 100)]
    assert changed("contrast", image)[0, :, 0].tolist() == pytest.approx(expected, abs=1)


def test_sharpness_is_a_mix_with_the_smoothed_picture() -> None:
    dot = np.full((3, 3, 3), 50, np.uint8)
    dot[1, 1] = 180
    smoothed = (8 * 50 + 5 * 180) / 13  # the kernel 1 1 1, 1 5 1, 1 1 1
    after = changed("sharpness", Image.fromarray(dot))
    assert int(after[1, 1, 0]) == pytest.approx(smoothed + 0.64 * (180 - smoothed), abs=1)


@pytest.mark.parametrize("sign", [1, -1])
def test_translation_is_in_pixels(sign: int) -> None:
    image = np.asarray(picture())
    x, y = changed("translate_x", picture(), sign), changed("translate_y", picture(), sign)
    kept, source = (slice(0, 50), slice(30, 80)) if sign > 0 else (slice(30, 80), slice(0, 50))
    assert (x[:, kept] == image[:, source]).all()
    kept, source = (slice(0, 30), slice(30, 60)) if sign > 0 else (slice(30, 60), slice(0, 30))
    assert (y[kept] == image[source]).all()
    assert x.sum() == image[:, 30:].sum() if sign > 0 else x.sum() == image[:, :50].sum()  # the rest is black


@pytest.mark.parametrize("sign", [1, -1])
def test_shear_moves_a_row_by_its_distance(sign: int) -> None:
    image = np.asarray(picture())
    x, y = changed("shear_x", picture(), sign), changed("shear_y", picture(), sign)
    for distance in (5, 33, 50):
        moved = int(np.floor(0.5 + sign * 0.09 * (distance + 0.5)))  # of pixel centres, to the nearest
        low, high = max(0, -moved), 60 - max(0, moved)
        assert (x[distance, low:high] == image[distance, low + moved : high + moved]).all()
        low, high = max(0, -moved), 60 - max(0, moved)
        assert (y[low:high, distance] == image[low + moved : high + moved, distance]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_rotation_is_nine_degrees_about_the_centre(sign: int) -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[50, 90] = 255  # 40 pixels right of the centre
    image[49:52, 89:92] = 255
    bright = np.argwhere(changed("rotate", Image.fromarray(image), sign)[..., 0]).mean(axis=0)
    angle = np.deg2rad(9) * sign  # counter-clockwise
    assert bright == pytest.approx([50 - 40 * np.sin(angle), 50 + 40 * np.cos(angle)], abs=0.7)


def test_cutout_is_a_grey_square_of_twelve_pixels() -> None:
    for seed in range(20):
        after = np.asarray(BY_NAME["cutout"].change(picture(), 12.0, np.random.default_rng(seed))).astype(int)
        rows, columns = np.nonzero((after != np.asarray(picture())).any(axis=2))
        assert (after[rows, columns] == (125, 123, 114)).all()
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(height, width) <= 13
        assert height == 13 or rows.max() == 59
        assert width == 13 or columns.max() == 79


def test_autocontrast_and_equalize_use_the_whole_range() -> None:
    for name in ("auto_contrast", "equalize"):
        after = changed(name, picture())
        assert (after.min(), after.max()) == (0, 255)


@given(count=st.integers(0, 4), magnitude=st.integers(0, 30), seed=st.integers(0, 2**32))
def test_size_and_mode_stay_and_the_seed_decides(count: int, magnitude: int, seed: int) -> None:
    first, second = (rand_augment(picture(), count, magnitude, np.random.default_rng(seed)) for _ in range(2))
    assert (first.size, first.mode) == ((80, 60), "RGB")
    assert (np.asarray(first) == np.asarray(second)).all()


def test_every_operation_is_drawn_alike_and_a_signed_one_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    negative: Counter[str] = Counter()

    def spy(operation: randaugment.Operation) -> randaugment.Operation:
        def change(image: Image.Image, value: float, _rng: np.random.Generator) -> Image.Image:
            calls[operation.name] += 1
            negative[operation.name] += value < 0
            assert abs(value) == pytest.approx(operation.value(9))
            return image

        return replace(operation, change=change)

    monkeypatch.setattr(randaugment, "OPERATIONS", tuple(spy(operation) for operation in OPERATIONS))
    rng = np.random.default_rng(0)
    for _ in range(4000):
        rand_augment(picture(), 2, 9, rng)

    assert calls.total() == 8000
    assert set(calls) == set(BY_NAME)
    assert max(calls.values()) < 1.3 * min(calls.values())
    for name, operation in BY_NAME.items():
        expected = calls[name] / 2 if operation.signed else 0
        assert negative[name] == pytest.approx(expected, rel=0.2)
