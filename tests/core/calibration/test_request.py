"""How many clips a calibration needs, and which of them count."""

from __future__ import annotations

import pytest

from core.calibration.request import usable_clips
from core.datasets import Item
from core.errors import InvalidRequest
from core.questions import Label

NOBODY: frozenset[str] = frozenset()


def clips(classes: int, each: int) -> list[Item]:
    return [
        Item(path=f"{label}/{number}", sha256=f"{label}-{number}", label=f"class {label}", split="train", seconds=1.0)
        for label in range(classes)
        for number in range(each)
    ]


def labels(count: int) -> tuple[Label, ...]:
    return tuple(Label(name=f"Class  {number}") for number in range(count))


@pytest.mark.parametrize(("classes", "each"), [(4, 5), (20, 1)])
def test_enough_clips_of_enough_classes(classes: int, each: int) -> None:
    assert len(usable_clips(clips(classes, each), labels(classes), NOBODY, of_set=False)) == 20


@pytest.mark.parametrize(
    ("classes", "each", "of_set", "needed"),
    [
        (4, 4, False, {"clips": 16, "classes": 4, "fewest_clips": 20, "fewest_classes": 4, "fewest_per_class": 5}),
        (3, 50, False, {"clips": 150, "classes": 3, "fewest_clips": 20, "fewest_classes": 4, "fewest_per_class": 5}),
        (10, 1, False, {"clips": 10, "classes": 10, "fewest_clips": 20, "fewest_classes": 4, "fewest_per_class": 2}),
        (2, 4, True, {"clips": 8, "classes": 2, "fewest_clips": 10, "fewest_classes": 2, "fewest_per_class": 5}),
        (12, 1, True, {"clips": 0, "classes": 0, "fewest_clips": 10, "fewest_classes": 2, "fewest_per_class": 5}),
    ],
)
def test_too_few_clips_are_refused_with_the_number_that_is_needed(
    classes: int, each: int, of_set: bool, needed: dict[str, int]
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        usable_clips(clips(classes, each), labels(classes), NOBODY, of_set=of_set)
    assert raised.value.details == needed | {"field": "dataset"}
    assert str(needed["fewest_per_class"]) in raised.value.message


def test_clips_that_the_model_has_learned_from_do_not_count() -> None:
    items = clips(4, 6)
    learned = frozenset(item.sha256 for item in items[:5])
    with pytest.raises(InvalidRequest, match="5 other clips do not count: the model has learned from them"):
        usable_clips(items, labels(4), learned, of_set=False)


def test_only_classes_of_the_label_set_count() -> None:
    found = usable_clips(clips(9, 5), labels(2), NOBODY, of_set=True)
    assert {item.label for item in found} == {"class 0", "class 1"}
