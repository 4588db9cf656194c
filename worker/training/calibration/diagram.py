"""The reliability diagram of a calibration: before and after, for each way to read the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes

from core.calibration.record import CalibrationMeasures, Reliability
from worker.training.result.plots import GREEN, GREY, ORANGE, PLAIN, new_figure, to_png

PANEL: Final = (720, 780)  # pixels, width × height of one diagram
_TITLES: Final = {"labels": "", "trained": "labels as trained: ", "untrained": "labels never trained: "}


def diagram_png(measures: Sequence[CalibrationMeasures]) -> bytes:
    """A row of two panels for each reading: of the softmax score, and of the confidence. Size: 2 × PANEL wide, PANEL
    times the number of readings high."""
    width, height = PANEL
    figure = new_figure(2 * width, height * len(measures))
    panels = figure.subplots(len(measures), 2, squeeze=False)
    for row, found in zip(panels, measures, strict=True):
        title = _TITLES.get(found["reading"], "")
        _draw(row[0], found["before"], f"{title}score", ORANGE)
        _draw(row[1], found["after"], f"{title}confidence", GREEN)
    return to_png(figure)


def _draw(axes: Axes, found: Reliability, name: str, colour: str) -> None:
    most = max((each["count"] for each in found["diagram"]), default=1)
    axes.plot([0, 100], [0, 100], "--", color=GREY, linewidth=1)
    for each in found["diagram"]:
        middle, width = 50 * (each["low"] + each["high"]), 100 * (each["high"] - each["low"])
        # The area says how many answers there are: a bar of few answers is narrow.
        axes.bar(middle, 100 * each["right"], width * (0.15 + 0.8 * each["count"] / most), color=colour, alpha=0.5)
        axes.plot(100 * each["claimed"], 100 * each["right"], "o", color=colour)
    error = "–" if found["ece"] is None else f"{found['ece']:.3f}"
    axes.set_title(f"{name} (ECE {error})", fontsize=10, **PLAIN)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.set_xlabel("claimed, %", **PLAIN)
    axes.set_ylabel("right, %", **PLAIN)
    axes.spines[["top", "right"]].set_visible(False)
