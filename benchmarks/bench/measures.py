"""Measured values: one list of samples for each thing that was measured, and ratios of things measured in turns."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """What was measured. row: of the table; subject: a server or a stage; clients: 0 where there is none."""

    row: str
    model: str
    subject: str
    what: str
    unit: str
    clients: int = 0
    documented: bool | None = None
    """Of a peer: whether it runs as its documentation shows. None: of Vireo."""


@dataclass(slots=True)
class Measures:
    """Samples of one run. Sample i of all keys is from round i, so ratios are taken round by round."""

    samples: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, key: Key, value: float) -> None:
        self.samples[key].append(value)

    def of(self, row: str, what: str, **wanted: Any) -> dict[Key, list[float]]:
        """Those of a row whose fields have these values."""
        return {
            key: values
            for key, values in self.samples.items()
            if (key.row, key.what) == (row, what) and all(getattr(key, name) == value for name, value in wanted.items())
        }

    def as_json(self) -> list[dict[str, Any]]:
        return [
            asdict(key) | {"median": statistics.median(values), "samples": values}
            for key, values in self.samples.items()
        ]


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of the rounds that both have."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=False))


def cheapest(candidates: Mapping[Key, Sequence[float]]) -> Key | None:
    """The one with the smallest median."""
    return min(candidates, key=lambda key: statistics.median(candidates[key]), default=None)


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, as a share of the median: how noisy the machine was."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    middle = statistics.median(values)
    return (high - low) / 2 / middle if middle else 0.0


def rows_of(measures: Measures) -> Iterator[str]:
    """The names of the rows, in the order in which they were measured."""
    yield from dict.fromkeys(key.row for key in measures.samples)
