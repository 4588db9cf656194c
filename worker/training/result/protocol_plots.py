"""The picture of a protocol's table: a curve over shots, or bars. Each point has its population deviation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes

from core.results import Row, Spread
from worker.training.result.plots import GAIN, GREEN, GREY, ORANGE, PLAIN, new_figure, to_png

_NAMES = {"top1": "top-1", "base": "base classes", "novel": "novel classes", "harmonic_mean": "harmonic mean"}


def curve_png(rows: Sequence[Row]) -> bytes:
    """Top-1 over clips per class; the base as it is, without any, is a dashed line. Size: GAIN."""
    points = [(row["shots"], found) for row in rows if row["shots"] and (found := row["numbers"].get("top1"))]
    figure = new_figure(*GAIN)
    axes = figure.subplots()
    shots = [count for count, _ in points]
    means, deviations = _percents([found for _, found in points])
    axes.errorbar(shots, means, yerr=deviations, fmt="o-", color=GREEN, capsize=4, label="trained")
    for row in rows:
        if row["shots"] == 0 and (base := row["numbers"].get("top1")):
            axes.axhline(100 * base["mean"], color=GREY, linestyle="--", label="as it is")
            axes.legend(frameon=False)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.set_xlabel("clips per class (K)", **PLAIN)
    _finish(axes)
    return to_png(figure)


def bars_png(rows: Sequence[Row]) -> bytes:
    """A group of bars for each number, in it a bar for each row. Size: GAIN."""
    figure = new_figure(*GAIN)
    axes = figure.subplots()
    names = list(rows[-1]["numbers"]) if rows else []
    width = 0.8 / max(1, len(rows))
    for place, row in enumerate(rows):
        there = [(at, found) for at, name in enumerate(names) if (found := row["numbers"].get(name))]
        means, deviations = _percents([found for _, found in there])
        x = [at + (place - (len(rows) - 1) / 2) * width for at, _ in there]
        color = (GREY, GREEN, ORANGE)[place % 3]
        axes.bar(x, means, width, yerr=deviations, color=color, capsize=4, label=row["name"])
    axes.set_xticks(range(len(names)), [_NAMES.get(name, name) for name in names], **PLAIN)
    axes.legend(frameon=False)
    _finish(axes)
    return to_png(figure)


PLOTS: Mapping[Literal["curve", "bars"], Callable[[Sequence[Row]], bytes]] = {"curve": curve_png, "bars": bars_png}


def _percents(spreads: Sequence[Spread]) -> tuple[list[float], list[float]]:
    return [100 * each["mean"] for each in spreads], [100 * each["std"] for each in spreads]


def _finish(axes: Axes) -> None:
    axes.set_ylim(-2, 102)
    axes.set_ylabel("top-1, %", **PLAIN)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
