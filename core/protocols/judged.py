"""The label spaces of protocols that judge one model: seeded halves of the classes, and fixed splits."""

from __future__ import annotations

from collections.abc import Sequence

from core.datasets import Dataset, Item, Split
from core.errors import InvalidRequest
from core.protocols.class_splits import FEWEST_CLASSES, half_of
from core.protocols.protocol import LabelSpace
from core.training_requests import EvaluationRequest

HALVES = tuple(range(10))  # seeds


def judged_items(request: EvaluationRequest, dataset: Dataset) -> tuple[str, tuple[Item, ...]]:
    """The split's name and its clips. `val` means `test` where there is no `val`. Raises: InvalidRequest."""
    if request.split == "all":
        return "all", dataset.items
    split: Split = "test" if request.split == "val" and not dataset.of("val") else request.split
    items = dataset.of(split)
    if not items:
        there = ", ".join(name for name, count in dataset.splits.items() if count)
        raise InvalidRequest(
            f"The dataset has no clips in {request.split!r}.", hint=f"It has clips in: {there}.", field="split"
        )
    return split, items


def clips_to_judge(
    request: EvaluationRequest, dataset: Dataset, spaces: Sequence[LabelSpace]
) -> tuple[str, tuple[Item, ...]]:
    """The split's name and its clips; where label spaces name their clips, the clips of all of them."""
    named = [space for space in spaces if space.paths is not None]
    if not named:
        return judged_items(request, dataset)
    wanted = frozenset[str]().union(*(space.paths or () for space in named))
    return ", ".join(space.name for space in named), tuple(item for item in dataset.items if item.path in wanted)


def halves(request: EvaluationRequest, dataset: Dataset) -> tuple[LabelSpace, ...]:
    """Raises: InvalidRequest for fewer than four classes with judged clips."""
    there = {item.label for item in judged_items(request, dataset)[1]}
    classes = [name for name in dataset.labels if name in there]
    if len(classes) < FEWEST_CLASSES:
        raise InvalidRequest(
            f"The protocol needs clips of at least {FEWEST_CLASSES} classes, and there are clips of {len(classes)}: "
            f"{', '.join(classes)}.",
            hint="A half with one class has nothing to confuse. Judge more clips (split=all), or add classes.",
            field="protocol",
            classes=classes,
        )
    return tuple(LabelSpace(f"seed {seed}", half_of(classes, seed)) for seed in request.seeds or HALVES)


def fixed_splits(request: EvaluationRequest, dataset: Dataset) -> tuple[LabelSpace, ...]:
    """One for each split column: its clips in `test`, or in `val` if there are none. Raises: InvalidRequest."""
    return tuple(_fixed_split(column, dataset) for column in split_columns(request, dataset))


def split_columns(request: EvaluationRequest, dataset: Dataset) -> tuple[str, ...]:
    """Raises: InvalidRequest for a dataset without split columns, or without one that is named."""
    if not dataset.split_columns:
        raise InvalidRequest(
            "The dataset has no split columns.",
            hint="Name columns of its manifest split:1, split:2, …; a clip without a split there is left out.",
            field="dataset",
        )
    columns = request.splits or dataset.split_columns
    for column in columns:
        check_split_column(column, dataset, "splits")
    return columns


def check_split_column(column: str | None, dataset: Dataset, field: str) -> None:
    """Raises: InvalidRequest for a split column that the dataset has not."""
    if column is not None and column not in dataset.split_columns:
        there = ", ".join(dataset.split_columns)
        raise InvalidRequest(
            f"The dataset has no split column {column!r}.",
            hint=f"It has: {there}." if there else "Its manifest has no column split:NAME.",
            field=field,
            nearest=list(dataset.split_columns[:3]),
        )


def _fixed_split(column: str, dataset: Dataset) -> LabelSpace:
    items = [item for item in dataset.items if item.splits.get(column) == "test"] or [
        item for item in dataset.items if item.splits.get(column) == "val"
    ]
    there = {item.label for item in items}
    if len(there) < 2:
        raise InvalidRequest(
            f"The split column {column!r} holds out clips of {len(there)} classes; at least 2 are needed.",
            field="splits",
            classes=sorted(there),
        )
    return LabelSpace(
        f"split:{column}",
        tuple(name for name in dataset.labels if name in there),
        frozenset(item.path for item in items),
    )
