"""How a run divides its dataset: clips to train on, clips to evaluate on, and classes left out of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets import Dataset, Item, Split
from core.errors import InvalidTraining
from core.protocols.class_splits import leave_out
from core.training_requests import TrainingRequest
from models.fitting import shots
from worker.decoding.dataset_clips import Sample


@dataclass(frozen=True, slots=True)
class ClipDivision:
    classes: tuple[str, ...]  # trained on, in the order of W's rows
    novel: tuple[str, ...]  # left out of training
    available: int  # train clips of `classes`
    train: tuple[Item, ...]  # the clips to train on: all of them, or K per class
    val: tuple[Item, ...]  # of `classes`, scored during training
    judged: tuple[Item, ...]  # of `classes`, scored for the report: the test split, or val if there is none
    judged_split: Split
    unseen: tuple[Item, ...]  # clips of `novel` to score: all, or those of the judged split
    drawn: dict[str, list[str]] | None  # few-shot: class → paths of the drawn clips


def divide_dataset(request: TrainingRequest, dataset: Dataset, seed: int) -> ClipDivision:
    """Raises: InvalidTraining."""
    novel = _novel(request, dataset, seed)
    classes = tuple(label for label in dataset.labels if label not in novel)
    if len(classes) < 2:
        raise InvalidTraining(
            f"The number of classes left to train on is {len(classes)}; it must be at least 2.",
            hint="Leave out fewer classes.",
            field="novel",
        )
    available = _with_label(dataset.of("train"), classes)
    train, drawn = available, None
    if request.shots is not None:
        train, drawn = _draw(available, request.shots, seed)
    val = dataset.of("val") or dataset.of("test")
    judged_split: Split = "test" if dataset.of("test") else "val"
    return ClipDivision(
        classes=classes,
        novel=novel,
        available=len(available),
        train=train,
        val=_with_label(val, classes),
        judged=_with_label(dataset.of(judged_split), classes),
        judged_split=judged_split,
        unseen=_with_label(dataset.items if request.novel_clips == "all" else dataset.of(judged_split), novel),
        drawn=drawn,
    )


def samples_of(items: Sequence[Item], classes: Sequence[str], clips: Path) -> list[Sample]:
    index = {label: place for place, label in enumerate(classes)}
    return [Sample(clips / item.sha256, index[item.label]) for item in items]


def _with_label(items: Sequence[Item], classes: Sequence[str]) -> tuple[Item, ...]:
    wanted = set(classes)
    return tuple(item for item in items if item.label in wanted)


def _novel(request: TrainingRequest, dataset: Dataset, seed: int) -> tuple[str, ...]:
    """The classes that the request leaves out, and those that have no train clip."""
    counts = {counted.name: counted.train for counted in dataset.classes}
    unseen = {name for name, count in counts.items() if not count}
    if request.novel is not None:
        # A name may be that of a class without a train clip; a share is one of the classes that have some.
        named = isinstance(request.novel, tuple)
        among = [name for name in dataset.labels if named or name not in unseen]
        try:
            unseen |= set(leave_out(among, request.novel, seed).novel)
        except ValueError as error:
            raise InvalidTraining(f"{error}.", field="novel") from error
    return tuple(name for name in dataset.labels if name in unseen)


def _draw(available: tuple[Item, ...], k: int, seed: int) -> tuple[tuple[Item, ...], dict[str, list[str]]]:
    try:
        drawn = shots.draw_shots([(item.sha256, item.label) for item in available], k, seed)
    except shots.ThinClass as error:
        raise InvalidTraining(f"{error}.", hint="Lower shots, or add clips.", field="shots") from error
    paths = {item.sha256: item.path for item in available}
    by_class = {label: [paths[sha256] for sha256 in chosen] for label, chosen in drawn.by_class.items()}
    return tuple(item for item in available if item.sha256 in drawn.ids), by_class


def shots_record(request: TrainingRequest, division: ClipDivision, seed: int) -> dict[str, Any] | None:
    """The card's `shots`."""
    if division.drawn is None:
        return None
    return {"k": request.shots, "seed": seed, "clips": division.drawn}
