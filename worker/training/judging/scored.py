"""The scores that a model gave to labelled clips: what every number of a report is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models.frames.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Embedded:
    """The unit video vectors of some clips, to draw them. ids: the clips' paths; labels: int64 [m]; vectors: [m, d]."""

    ids: Sequence[str]
    labels: IntArray
    vectors: FloatArray


@dataclass(frozen=True, slots=True)
class Scored:
    """ids: the clips' paths; labels: int64 [n], indices of classes; probabilities: float [n, C]; embedded: some of the
    clips, None if their vectors were not kept.

    Raises: ValueError if the three do not fit together, or if a score is not a number (the model has diverged).
    """

    ids: Sequence[str]
    labels: IntArray
    probabilities: FloatArray
    embedded: Embedded | None = None

    def __post_init__(self) -> None:
        count, classes = self.probabilities.shape
        if not len(self.ids) == len(self.labels) == count:
            raise ValueError(f"{len(self.ids)} clips, {len(self.labels)} labels and {count} rows of scores do not fit.")
        if count and not (self.labels.min() >= 0 and self.labels.max() < classes):
            raise ValueError(f"A label is not one of the {classes} classes.")
        if not np.isfinite(self.probabilities).all():
            raise ValueError("A score is not a number: the model has diverged.")

    @property
    def hits(self) -> BoolArray:
        """Whether the best class of each clip is its own [n]."""
        best: IntArray = self.probabilities.argmax(axis=1)  # [n]
        right: BoolArray = best == self.labels
        return right

    def without_duplicates(self) -> Scored:
        """Only the first scores of each clip."""
        first = np.array(list({clip: place for place, clip in reversed(list(enumerate(self.ids)))}.values()), np.int64)
        first.sort()
        return Scored([self.ids[place] for place in first], self.labels[first], self.probabilities[first])

    def to_dict(self) -> dict[str, Any]:
        """Strings and tensors, which a checkpoint can hold."""
        kept = {
            "ids": list(self.ids),
            "labels": torch.from_numpy(self.labels),
            "probabilities": torch.from_numpy(self.probabilities),
        }
        if self.embedded is None:
            return kept
        vectors, labels = torch.from_numpy(self.embedded.vectors), torch.from_numpy(self.embedded.labels)
        return kept | {"embedded": {"ids": list(self.embedded.ids), "labels": labels, "vectors": vectors}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scored:
        found = data.get("embedded")  # a checkpoint of an earlier version has none
        embedded = Embedded(found["ids"], found["labels"].numpy(), found["vectors"].numpy()) if found else None
        return cls(data["ids"], data["labels"].numpy(), data["probabilities"].numpy(), embedded)
