"""How draws are summed up: the mean and the population standard deviation over the draws of a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from core.results import Draw, Row, Spread


def spread(values: Sequence[float]) -> Spread:
    """std: of the population, that is, divided by the number of values (method §11)."""
    return {"mean": fmean(values), "std": pstdev(values)}


def sum_up(draws: Sequence[Draw]) -> list[Row]:
    """One row for each name of a row, in the order of their first draws. A number that a draw of a row has not is null
    in the row."""
    groups: dict[str, list[Draw]] = {}
    for draw in draws:
        groups.setdefault(draw["row"], []).append(draw)
    return [
        {
            "name": name,
            "draws": len(group),
            "shots": group[0]["shots"],
            "numbers": {number: _spread([draw["numbers"].get(number) for draw in group]) for number in _names(group)},
        }
        for name, group in groups.items()
    ]


def shares(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: null if there is nothing to measure."""
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def _names(group: Sequence[Draw]) -> dict[str, None]:
    return dict.fromkeys(name for draw in group for name in draw["numbers"])


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if len(known) == len(values) else None
