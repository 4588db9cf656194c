"""A dataset without clips, for tests whose child process acts instead of training."""

from __future__ import annotations

from core.datasets import Dataset

NO_CLIPS = Dataset(
    id="ds_" + "0" * 24,
    digest="0" * 64,
    name="none",
    created_at=0.0,
    classes=(),
    splits={"train": 0, "val": 0, "test": 0},
    split_source="given",
    seconds=0.0,
    bytes=0,
    report=(),
    items=(),
)
