"""A dataset without clips, for tests of protocols."""

from __future__ import annotations

from core.datasets import Dataset, Item, Split, count_classes
from core.training_requests import EvaluationRequest

ID = "ds_" + "a" * 24


def dataset_of(counts: dict[str, tuple[int, int]], columns: dict[str, dict[str, Split]] | None = None) -> Dataset:
    """counts: class → clips in train and in test. columns: split column → path → split."""
    columns = columns or {}
    items = tuple(
        Item(
            path=f"{label}/{split}{number}",
            sha256=f"{label}{split}{number}",
            label=label,
            split=split,
            seconds=1.0,
            splits={
                name: paths[path] for name, paths in columns.items() if (path := f"{label}/{split}{number}") in paths
            },
        )
        for label, (train, test) in counts.items()
        for split, count in (("train", train), ("test", test))
        for number in range(count)
    )
    return Dataset(
        id=ID,
        digest="0" * 64,
        name="scenes",
        created_at=0.0,
        classes=count_classes((item.label, item.split) for item in items),
        splits={
            "train": sum(train for train, _ in counts.values()),
            "val": 0,
            "test": sum(t for _, t in counts.values()),
        },
        split_source="given",
        split_columns=tuple(sorted(columns)),
        seconds=1.0,
        bytes=1,
        report=(),
        items=items,
    )


def asked(protocol: str, **options: object) -> EvaluationRequest:
    return EvaluationRequest.model_validate({"dataset": ID, "protocol": protocol, "model": "tiny"} | options)
