from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.frames import randaugment
from models.frames.randaugment import OPERATIONS, rand_augment

UInt8Array = npt.NDArray[np.uint8]

NAMES = (
    "identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize",
    "contrast", "brightness", "sharpness", "shear_x", "shear_y", "shift_x", "shift_y",
)  # fmt: skip
BY_NAME = dict(zip(NAMES, OPERATIONS, strict=True))


def picture(seed: int = 0) -> Image.Image:
    """Coarse colour noise, dark to middling, so that every operation has something to change."""
    blocks = np.random.default_rng(seed).integers(20, 180, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((80, 60), Image.Resampling.BICUBIC)


def applied(name: str, strength: float) -> UInt8Array:
    return np.asarray(BY_NAME[name](picture(), strength))


@given(count=st.integers(0, 4), magnitude=st.integers(0, 30), seed=st.integers(0, 2**32))
def test_size_and_mode_stay_and_the_seed_decides(count: int, magnitude: int, seed: int) -> None:
    first, second = (rand_augment(picture(), count, magnitude, np.random.default_rng(seed)) for _ in range(2))
    assert (first.size, first.mode) == ((80, 60), "RGB")
    assert (np.asarray(first) == np.asarray(second)).all()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"identity", "auto_contrast", "equalize"}))
def test_strength_is_how_far_an_operation_goes(name: str) -> None:
    plain = np.asarray(picture()).astype(int)
    little, much = (np.abs(applied(name, strength) - plain).mean() for strength in (0.3, 1.0))
    assert (applied(name, 0.0) == plain).all()
    assert 0 < little < much


@pytest.mark.parametrize("name", ["rotate", "color", "contrast", "brightness", "shear_x", "shear_y", "shift_x"])
def test_the_sign_turns_the_direction(name: str) -> None:
    assert (applied(name, 0.5) != applied(name, -0.5)).any()


def test_full_strength_is_autoaugments_range() -> None:
    image = np.asarray(picture())
    assert applied("brightness", -1) == pytest.approx(image * 0.1, abs=1.5)
    assert applied("brightness", 1) == pytest.approx(np.minimum(image * 1.9, 255), abs=1.5)
    assert set(np.unique(applied("posterize", 1) & 0x0F)) == {0}
    assert (applied("solarize", 1) == 255 - image).all()
    shifted = applied("shift_x", 1)
    assert (shifted[:, -36:] == 0).all()  # 150/331 of 80 pixels
    assert shifted[:, 10] == pytest.approx(image[:, 46], abs=20)
    assert (applied("shift_y", -1)[:27] == 0).all()


def test_every_operation_is_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    signs: Counter[bool] = Counter()

    def spy(name: str) -> randaugment.Operation:
        def operation(image: Image.Image, strength: float) -> Image.Image:
            calls[name] += 1
            signs[strength > 0] += 1
            assert abs(strength) == pytest.approx(9 / 30)
            return image

        return operation

    monkeypatch.setattr(randaugment, "OPERATIONS", tuple(spy(name) for name in NAMES))
    rng = np.random.default_rng(0)
    for _ in range(3000):
        rand_augment(picture(), 2, 9, rng)

    assert calls.total() == 6000
    assert set(calls) == set(NAMES)
    assert max(calls.values()) < 1.25 * min(calls.values())
    assert signs[True] == pytest.approx(3000, abs=160)
