from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from worker.training.fit.curves import Curves
from worker.training.result.plots import (
    CURVES,
    NAMED,
    PANEL,
    WIDE,
    confusion_png,
    correlation_png,
    curves_png,
    mean_cosine,
)


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def size(png: bytes) -> tuple[int, int]:
    """Width and height."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def greens(picture: npt.NDArray[np.uint8]) -> int:
    """Pixels of the darkest green, which only a share near 1 has."""
    return int((np.abs(picture.astype(np.int16) - (0x12, 0x39, 0x1A)).sum(axis=2) < 12).sum())


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def curves(steps: int, epochs: int) -> Curves:
    return {
        "train": [
            {"step": step, "epoch": step / 10, "loss": 1 / step, "lr": 1e-5 * step} for step in range(1, steps + 1)
        ],
        "val": [{"epoch": float(epoch), "loss": 1 / epoch, "top1": 0.5} for epoch in range(1, epochs + 1)],
    }


@pytest.mark.parametrize(("count", "maps"), [(1, 2), (20, 1), (21, 1), (40, 2), (41, 1), (400, 2)])
def test_a_picture_has_its_size_for_any_number_of_classes(count: int, maps: int) -> None:
    width, height = PANEL if count <= 40 else WIDE
    assert size(confusion_png(np.eye(count, dtype=np.int64), names(count))) == (width, height)
    kinds = dict.fromkeys(("text", "learned")[:maps], np.eye(count))
    assert size(correlation_png(kinds, names(count))) == (maps * width, height)


def test_each_row_is_coloured_by_its_own_share() -> None:
    balanced = np.diag([5, 5]).astype(np.int64)
    unequal = np.diag([5, 5000]).astype(np.int64)
    assert greens(pixels(confusion_png(balanced, names(2)))) == pytest.approx(
        greens(pixels(confusion_png(unequal, names(2)))), rel=0.02
    )


def test_colours_are_shares_of_rows_whatever_the_number_of_clips_of_a_class() -> None:
    """Among so many classes no counts are written, so the pictures differ by their colours only."""
    shares = np.eye(30, dtype=np.int64) + np.eye(30, k=1, dtype=np.int64)
    uneven = shares * np.arange(1, 31)[:, None]
    assert confusion_png(uneven, names(30)) == confusion_png(shares, names(30)) != confusion_png(shares.T, names(30))


def test_of_many_classes_every_nth_is_named() -> None:
    count = 2 * NAMED + 1  # so every third
    plain = confusion_png(np.eye(count, dtype=np.int64), names(count))
    for place, shown in ((1, False), (2, False), (3, True)):
        other = names(count)
        other[place] = "WWWWWWWW"
        assert (confusion_png(np.eye(count, dtype=np.int64), other) != plain) == shown


def test_a_class_without_clips_is_a_white_row() -> None:
    whole = greens(pixels(confusion_png(np.diag([4, 4]).astype(np.int64), names(2))))
    half = greens(pixels(confusion_png(np.diag([4, 0]).astype(np.int64), names(2))))
    assert 0.45 * whole < half < 0.6 * whole  # the colour bar has some of it too


def test_one_of_four_hundred_cells_is_visible() -> None:
    clean = np.eye(400, dtype=np.int64) * 49
    slip = clean.copy()
    slip[100, 300] = 1
    changed = np.abs(
        pixels(confusion_png(clean, names(400))).astype(np.int16) - pixels(confusion_png(slip, names(400)))
    )
    assert (changed.sum(axis=2) > 40).sum() >= 9


def test_a_name_that_cannot_be_drawn_is_shortened_or_replaced_by_its_number() -> None:
    """The first is not in the font."""
    hostile = ["跑步", "\x00\x1b[2J", "   ", "two\nlines\tand a tab", "x" * 300]
    drawn = ["#1", "#2", "#3", "two lines and a tab", "x" * 21 + "…"]
    clips = np.eye(5, dtype=np.int64)
    assert confusion_png(clips, hostile) == confusion_png(clips, drawn) != confusion_png(clips, names(5))


@pytest.mark.parametrize("name", ["$x^2$", "$\\frac{$"])
def test_names_are_drawn_as_they_are_and_never_as_mathematics(name: str) -> None:
    """As mathematics the first would be two characters, and the second an error."""
    marked = correlation_png({name: np.eye(2)}, [name, "other"])
    assert ink(marked) > ink(correlation_png({"xx": np.eye(2)}, [name, "other"])) + 40


def ink(png: bytes) -> int:
    """Dark pixels that are not green: those of letters and lines."""
    picture = pixels(png).astype(np.int16)
    return int(((picture.max(axis=2) < 110) & (np.ptp(picture, axis=2) < 12)).sum())


def test_red_is_similar_blue_is_opposite_and_white_is_neither() -> None:
    def centre(cosine: float) -> npt.NDArray[np.uint8]:
        picture = pixels(correlation_png({"text": np.full((1, 1), cosine)}, names(1)))
        middle: npt.NDArray[np.uint8] = picture[PANEL[1] // 2, PANEL[0] // 2]
        return middle

    red, blue, white = centre(0.8), centre(-0.8), centre(0.0)
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80
    assert white.min() > 240


def test_the_mean_cosine_leaves_the_diagonal_out() -> None:
    assert mean_cosine(np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])) == 0.3
    assert mean_cosine(np.eye(1)) == 0.0
    assert str(mean_cosine(np.array([[1.0, -0.001], [-0.001, 1.0]]))) == "0.0"


@pytest.mark.parametrize(("steps", "epochs"), [(0, 0), (1, 0), (1, 1), (3, 3), (500, 5)])
def test_curves_of_any_length(steps: int, epochs: int) -> None:
    assert pixels(curves_png(curves(steps, epochs))).shape == (CURVES[1], CURVES[0], 3)


def test_a_run_of_one_step_is_visible() -> None:
    assert (pixels(curves_png(curves(1, 0))) != pixels(curves_png(curves(0, 0)))).any(axis=2).sum() > 50


def test_a_loss_that_is_not_a_number_is_left_out() -> None:
    whole, broken = curves(12, 2), curves(12, 2)
    broken["train"][4]["loss"] = None
    broken["val"][0]["loss"] = None
    for colour in ((0x3A, 0x7D, 0x44), (0xC2, 0x57, 0x1A)):  # of training, and of the validation clips
        full, less = (of_colour(pixels(curves_png(each)), colour) for each in (whole, broken))
        assert 0 < less < full
    for point in broken["val"]:
        point["loss"] = None
    assert pixels(curves_png(broken)).shape == (CURVES[1], CURVES[0], 3)


def of_colour(picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """Pixels of that colour in the upper two fifths, where the losses are."""
    upper = picture[: 2 * len(picture) // 5].astype(np.int16)
    return int((np.abs(upper - colour).sum(axis=2) < 12).sum())


def test_the_same_numbers_are_the_same_bytes_in_any_thread() -> None:
    confusion = np.arange(36, dtype=np.int64).reshape(6, 6)
    cosines = np.cos(confusion)
    with ThreadPoolExecutor(2) as threads:
        drawn = [
            threads.submit(
                lambda: (
                    confusion_png(confusion, names(6)),
                    correlation_png({"text": cosines}, names(6)),
                    curves_png(curves(50, 5)),
                )
            )
            for _ in range(2)
        ]
        assert len({done.result() for done in drawn}) == 1


def test_no_date_and_no_version_in_the_file() -> None:
    with Image.open(io.BytesIO(confusion_png(np.eye(2, dtype=np.int64), names(2)))) as image:
        assert set(image.info) <= {"dpi"}
