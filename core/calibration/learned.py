"""The clips that a version has learned from: nothing may be judged or calibrated on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from core.datasets import Dataset, dataset_key
from core.errors import UnknownModel
from core.registry import Registry, Version
from core.storage import Store


def learned_from(registry: Registry, store: Store, versions: Iterable[Version | None]) -> frozenset[str]:
    """sha256 of the clips that the versions, and those that they were trained from, have learned from; as far as their
    datasets still exist. Raises: UnknownModel, StorageUnavailable."""
    found: set[str] = set()
    for each in versions:
        version = each
        while version is not None:
            card = registry.card(version)
            learned = card.dataset or {}
            dataset = store.read_text(f"{dataset_key(str(learned.get('id')))}/dataset.json")
            if dataset is not None:
                divided = Dataset.model_validate_json(dataset).under(learned.get("split_column"))
                found |= {item.sha256 for item in divided.of("train")}
            version = None
            with suppress(UnknownModel):
                version = registry.resolve(card.base) if registry.knows(card.base) else None
    return frozenset(found)
