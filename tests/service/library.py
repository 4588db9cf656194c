"""Datasets and model versions in the store, written by the code that the workers publish with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from core.datasets import ClassCount, Dataset, Finding, Item, Split, dataset_key
from core.registry import Card, Registry, Version
from core.storage import Store

DATASET = "ds_0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 40
REPORT = "<!doctype html><title>report</title>"


def card(name: str, version: int, **changes: Any) -> Card:
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "created_at": time.time(),
        "origin": "trained",
        "base": "lite",
        "architecture": "lite",
        "method": "text4vis",
        "temporal": {"kind": "mean"},
        "classifier": {"kind": "text"},
        "classes": ("boxing", "running"),
        "open_labels": True,
        "profile": {},
        "dim": 4,
        "logit_scale": 100.0,
        "digest": f"d{version}",
        "text_digest": "t",
    }
    return Card(**fields | changes)


@dataclass(frozen=True)
class Library:
    store: Store

    @property
    def registry(self) -> Registry:
        return Registry(self.store)

    def version(self, name: str, version: int, **changes: Any) -> Card:
        made = card(name, version, **changes)
        with self.store.stage_tree() as tree:
            (tree / "model.safetensors").write_bytes(WEIGHTS)
            (tree / "report.html").write_text(REPORT)
            (tree / "report.json").write_text('{"top1": 1.0}')
            (tree / "confusion.png").write_bytes(b"\x89PNG")
            (tree / "text").mkdir()
            (tree / "text" / "config.json").write_text("{}")
            (tree / "card.json").write_text(made.model_dump_json())
            self.registry.publish(tree, Version(name, version))
        return made

    def dataset(
        self,
        dataset_id: str = DATASET,
        counts: dict[str, tuple[int, int]] | None = None,
        report: tuple[Finding, ...] = (),
    ) -> Dataset:
        """`counts`: class to clips in train and in val."""
        counts = counts or {"boxing": (3, 1), "running": (2, 1), "swimming": (4, 0)}
        items = tuple(
            Item(path=f"{name}/{split}{index}.mp4", sha256="0" * 64, label=name, split=split, seconds=1.0)
            for name, per_split in counts.items()
            for split, count in zip(_SPLITS, per_split, strict=True)
            for index in range(count)
        )
        made = Dataset(
            id=dataset_id,
            digest=dataset_id.removeprefix("ds_"),
            name="gym",
            created_at=1.0,
            classes=tuple(ClassCount(name=name, train=train, val=val) for name, (train, val) in counts.items()),
            splits={split: sum(item.split == split for item in items) for split in _SPLITS},
            split_source="made",
            split_seed=0,
            seconds=float(len(items)),
            bytes=1000,
            report=report,
            items=items,
        )
        self.store.write_text(f"{dataset_key(dataset_id)}/dataset.json", made.model_dump_json())
        return made

    def clear(self) -> None:
        for name in ("registry", "datasets", "evaluations", "calibrations", "incoming"):
            self.store.delete_tree(name, marker="")


_SPLITS: tuple[Split, Split] = ("train", "val")
