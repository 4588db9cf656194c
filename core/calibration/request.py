"""The request to calibrate a model, and what it needs of a dataset. The gateway checks it; the worker reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from core.datasets import Item
from core.errors import InvalidRequest
from core.questions import Label, Reference, folded
from core.training_requests import ModelRefText, TrainingRecord

FEWEST_CLASSES: Final = 4  # of a model: half of them are left out
FEWEST_CLIPS: Final = 20
FEWEST_CLASSES_OF_SET: Final = 2  # of a label set: clips are left out instead of classes
FEWEST_CLIPS_OF_SET: Final = 10
FEWEST_PER_CLASS_OF_SET: Final = 2


class CalibrationBody(TrainingRecord):
    """Body of POST /v1/calibrations."""

    model: ModelRefText | None = Field(
        None, description="Model: `name`, `name:version` or `name@alias`; default: the server's default model."
    )
    dataset: str = Field(
        pattern=r"^ds_[0-9a-f]{24}$",
        description="Dataset whose clips say how often a similarity is right. Clips that the model has learned from do "
        "not count.",
    )
    label_set: Reference | None = Field(
        None,
        description="Label set, `name` or `name:version`, whose questions alone the calibration is for. Classes of the "
        "dataset that have the name of one of its labels count. Default: questions with any labels.",
    )
    normalize_labels: bool | None = Field(
        None,
        strict=True,
        description="Whether the text encoder reads `BrushHair` and `brush_hair` as separate words. Default: as in "
        "questions to the model.",
    )


class CalibrationRequest(CalibrationBody):
    """The `request` of a job of kind `calibration`. The gateway has resolved its label set."""

    labels: tuple[Label, ...] | None = Field(None, description="the labels of the label set")
    templates: tuple[str, ...] | None = Field(None, description="its templates")


def labels_of(request: CalibrationRequest, classes: Sequence[str]) -> tuple[Label, ...]:
    """The labels that are judged: those of the label set, or the classes of the dataset."""
    return tuple(Label(name=name) for name in classes) if request.labels is None else request.labels


def usable_clips(
    items: Sequence[Item], labels: Sequence[Label], learned_from: frozenset[str], *, of_set: bool
) -> tuple[Item, ...]:
    """The clips of these labels that the model has not learned from. Raises: InvalidRequest where they are too few,
    with the numbers that are needed."""
    names = {folded(label.name) for label in labels}
    named = [item for item in items if folded(item.label) in names]
    usable = [item for item in named if item.sha256 not in learned_from]
    if of_set:
        counts = Counter(item.label for item in usable)
        usable = [item for item in usable if counts[item.label] >= FEWEST_PER_CLASS_OF_SET]
    classes = len({item.label for item in usable})
    fewest_classes, fewest_clips = (
        (FEWEST_CLASSES_OF_SET, FEWEST_CLIPS_OF_SET) if of_set else (FEWEST_CLASSES, FEWEST_CLIPS)
    )
    if classes >= fewest_classes and len(usable) >= fewest_clips:
        return tuple(usable)
    per_class = -(-fewest_clips // max(classes, fewest_classes))
    learned = len(named) - len([item for item in named if item.sha256 not in learned_from])
    raise InvalidRequest(
        f"{len(usable)} clips of {classes} classes can be used; at least {fewest_clips} clips of at least "
        f"{fewest_classes} classes are needed, {per_class} clips of each of {max(classes, fewest_classes)} classes."
        + (f" {learned} other clips do not count: the model has learned from them." if learned else ""),
        hint="Send a dataset with more clips that the model has not been trained on.",
        field="dataset",
        clips=len(usable),
        classes=classes,
        fewest_clips=fewest_clips,
        fewest_classes=fewest_classes,
        fewest_per_class=per_class,
    )
