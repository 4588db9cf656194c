"""Which clips are trained on, which are judged on, and which classes are kept away from training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets import Dataset, Item, Split
from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from models.fitting import shots
from models.judging import protocols
from worker.decoding.dataset_clips import Sample


@dataclass(frozen=True, slots=True)
class Division:
    classes: tuple[str, ...]  # trained on, in the order of W's rows
    novel: tuple[str, ...]  # never seen in training
    available: int  # train clips of `classes`
    train: tuple[Item, ...]  # those that are used: all, or K per class
    val: tuple[Item, ...]  # of `classes`, looked at while training
    judged: tuple[Item, ...]  # of `classes`, for the report: the test split where there is one
    judged_split: Split
    unseen: tuple[Item, ...]  # every clip of `novel`
    drawn: dict[str, list[str]] | None  # few-shot: class → paths


def divide(request: TrainingRequest, dataset: Dataset, seed: int) -> Division:
    """Raises: InvalidTraining."""
    novel = _novel(request, dataset, seed)
    classes = tuple(label for label in dataset.labels if label not in novel)
    if len(classes) < 2:
        raise InvalidTraining(
            f"{len(classes)} class is left to train on; two are the least.", hint="Leave out fewer.", field="novel"
        )
    available = _of(dataset.of("train"), classes)
    train, drawn = available, None
    if request.shots is not None:
        train, drawn = _draw(available, request.shots, seed)
    val = dataset.of("val") or dataset.of("test")
    judged_split: Split = "test" if dataset.of("test") else "val"
    return Division(
        classes=classes,
        novel=novel,
        available=len(available),
        train=train,
        val=_of(val, classes),
        judged=_of(dataset.of(judged_split), classes),
        judged_split=judged_split,
        unseen=_of(dataset.items, novel),
        drawn=drawn,
    )


def samples(items: Sequence[Item], classes: Sequence[str], clips: Path) -> list[Sample]:
    index = {label: place for place, label in enumerate(classes)}
    return [Sample(clips / item.sha256, index[item.label]) for item in items]


def _of(items: Sequence[Item], classes: Sequence[str]) -> tuple[Item, ...]:
    wanted = set(classes)
    return tuple(item for item in items if item.label in wanted)


def _novel(request: TrainingRequest, dataset: Dataset, seed: int) -> tuple[str, ...]:
    """Those that were asked for, and those that have no train clip."""
    counts = {counted.name: counted.train for counted in dataset.classes}
    unseen = {name for name, count in counts.items() if not count}
    if request.novel is not None:
        seen = [name for name in dataset.labels if name not in unseen]
        try:
            unseen |= set(protocols.leave_out(seen, request.novel, seed).novel)
        except ValueError as error:
            raise InvalidTraining(f"{error}.", field="novel") from error
    return tuple(name for name in dataset.labels if name in unseen)


def _draw(available: tuple[Item, ...], k: int, seed: int) -> tuple[tuple[Item, ...], dict[str, list[str]]]:
    try:
        drawn = shots.draw_shots([(item.sha256, item.label) for item in available], k, seed)
    except shots.ThinClass as error:
        raise InvalidTraining(f"{error}.", hint="Ask for fewer shots, or add clips.", field="shots") from error
    paths = {item.sha256: item.path for item in available}
    by_class = {label: [paths[sha256] for sha256 in chosen] for label, chosen in drawn.by_class.items()}
    return tuple(item for item in available if item.sha256 in drawn.ids), by_class


def shots_record(request: TrainingRequest, division: Division, seed: int) -> dict[str, Any] | None:
    """The card's `shots`."""
    if division.drawn is None:
        return None
    return {"k": request.shots, "seed": seed, "clips": division.drawn}
