"""A report's pictures: confusion matrix, correlation between the rows of W, learning curves, maps of video vectors.

Pure functions from numbers to the bytes of a PNG of fixed size. The same numbers give the same bytes: no date and no
version is in the file. They use `Figure` objects only, so any thread may draw. Class names are untrusted text: they are
drawn as they are, never as mathematics, and a name that the font cannot draw is replaced by its number.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from core.results import CurvePoint
from models.frames.arrays import FloatArray, IntArray
from worker.training.fit.curves import Curves, TrainPoint, ValPoint

DPI = 150
PANEL = (1050, 930)  # pixels, width × height of one matrix
WIDE = (2100, 1860)  # of a matrix of many classes: each of 400 classes has about 4 pixels
GAIN = (1200, 700)  # pixels, width × height
MAP = (900, 960)  # pixels, width × height of one map
CURVES = (1200, 1050)  # pixels, width × height
ANNOTATED = 20  # up to this many classes a cell has room for its count
NAMED = 40  # this many class names fit beside an axis; of more classes every n-th is named
NAME_CHARS = 22

GREEN, ORANGE, _INK, GREY = "#3a7d44", "#c2571a", "#333333", "#b5b5b5"
_GREENS = LinearSegmentedColormap.from_list("greens", ["#ffffff", "#8cc598", "#3a7d44", "#12391a"])
_FONT = FontProperties(family="DejaVu Sans")  # comes with matplotlib: the same on every machine
PLAIN: dict[str, Any] = {"fontproperties": _FONT, "parse_math": False}


def panel(classes: int) -> tuple[int, int]:
    """Width and height of a matrix of that many classes."""
    return PANEL if classes <= NAMED else WIDE


def confusion_png(confusion: IntArray, classes: Sequence[str]) -> bytes:
    """confusion: [C, C] clips, rows are the true classes. The colour shows the share of a row; the row of a class
    without clips is white. Size: `panel(C)`."""
    support = confusion.sum(axis=1, keepdims=True)  # [C, 1]
    shares = confusion / np.maximum(support, 1)  # [C, C]
    few = len(classes) <= ANNOTATED
    figure = new_figure(*panel(len(classes)))
    axes = figure.add_subplot()
    # Among many classes one clip in fifty is worth seeing, but a linear scale would draw it white: use a square root.
    norm = PowerNorm(1.0 if few else 0.5, vmin=0.0, vmax=1.0)
    image = axes.imshow(shares, cmap=_GREENS, norm=norm, interpolation="nearest")
    _name_ticks(axes, classes)
    axes.set_xlabel("given", **PLAIN)
    axes.set_ylabel("true", **PLAIN)
    if few:
        _write_counts(axes, confusion, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("share of the true class's clips", fontproperties=_FONT)
    return to_png(figure)


def correlation_png(maps: Mapping[str, FloatArray], classes: Sequence[str]) -> bytes:
    """maps: kind of W → cosines between its rows [C, C] (Text4Vis, Fig. 1). They are drawn side by side on one scale
    from -1 to 1, white at 0. Size: `panel(C)`, its width times the number of maps."""
    width, height = panel(len(classes))
    figure = new_figure(width * len(maps), height)
    panels = [figure.add_subplot(1, len(maps), number) for number in range(1, len(maps) + 1)]
    for axes, (title, cosines) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(cosines, cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
        _name_ticks(axes, classes)
        axes.set_title(f"{title}: mean cosine between classes {mean_cosine(cosines):.2f}", fontsize=10, **PLAIN)
    bar = figure.colorbar(image, ax=panels, shrink=0.9)
    bar.set_label("cosine", fontproperties=_FONT)
    return to_png(figure)


def curves_png(curves: Curves) -> bytes:
    """Loss, learning rate and top-1 on the validation clips over epochs. Size: CURVES."""
    figure = new_figure(*CURVES)
    loss, rate, top1 = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1, 2))
    train, val = curves["train"], curves["val"]
    _draw_loss(loss, train, val)
    rate.plot([point["epoch"] for point in train], [point["lr"] for point in train], _line(train), color=GREEN)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    top1.plot([point["epoch"] for point in val], [100 * point["top1"] for point in val], "o-", color=ORANGE)
    top1.set_ylim(-2, 102)
    top1.set_xlim(left=0)
    top1.set_xlabel("epoch", **PLAIN)
    top1.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes, title in ((loss, "loss"), (rate, "learning rate"), (top1, "top-1, validation, %")):
        axes.set_ylabel(title, **PLAIN)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def gain_png(curve: Sequence[CurvePoint]) -> bytes:
    """Top-1 over clips per class with its band; predicted points are hollow. Size: GAIN."""
    figure = new_figure(*GAIN)
    axes = figure.subplots()
    shots = [point["shots"] for point in curve]
    low, high = ([100 * point[end] for point in curve] for end in ("low", "high"))
    axes.fill_between(shots, low, high, color=GREEN, alpha=0.2, linewidth=0)
    axes.plot(shots, [100 * point["top1"] for point in curve], color=GREEN)
    for measured, face in ((True, GREEN), (False, "white")):
        of_kind = [point for point in curve if point["measured"] is measured]
        at = [point["shots"] for point in of_kind], [100 * point["top1"] for point in of_kind]
        axes.plot(*at, "o", color=GREEN, markerfacecolor=face)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.set_ylim(-2, 102)
    axes.set_xlabel("clips per class", **PLAIN)
    axes.set_ylabel("top-1, %", **PLAIN)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def map_png(maps: Mapping[str, FloatArray], labels: IntArray, classes: Sequence[str]) -> bytes:
    """maps: title → places of the clips [n, 2], drawn side by side; labels: of the clips [n]. Up to `ANNOTATED` classes
    have a colour and a name of their own; among more, colours repeat. Size: MAP times the number of maps."""
    width, height = MAP
    figure = new_figure(width * len(maps), height)
    colours = colormaps["tab20" if len(classes) > 10 else "tab10"].colors  # type: ignore[attr-defined]
    panels = [figure.add_subplot(1, len(maps), number) for number in range(1, len(maps) + 1)]
    for axes, (title, places) in zip(panels, maps.items(), strict=True):
        for label in np.unique(labels):
            own = places[labels == label]  # [m, 2]
            name = _drawable(classes[label], label)
            axes.scatter(own[:, 0], own[:, 1], s=24, color=colours[label % len(colours)], label=name, linewidths=0)
        axes.set_title(title, fontsize=10, **PLAIN)
        axes.set_xticks([])
        axes.set_yticks([])
    if len(classes) <= ANNOTATED:
        handles, names = panels[-1].get_legend_handles_labels()
        legend = figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, prop=_FONT)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return to_png(figure)


def bars_png(bars: Mapping[str, Mapping[str, float]]) -> bytes:
    """bars: name of a series → name of a group → share; the series stand side by side in each group. Size: GAIN."""
    figure = new_figure(*GAIN)
    axes = figure.subplots()
    groups = list(next(iter(bars.values())))
    width = 0.8 / len(bars)
    for number, ((name, shares), colour) in enumerate(zip(bars.items(), (GREY, GREEN, ORANGE), strict=False)):
        at = np.arange(len(groups)) + (number - (len(bars) - 1) / 2) * width
        heights = [100 * shares[group] for group in groups]
        drawn = axes.bar(at, heights, width * 0.95, color=colour, label=name)
        axes.bar_label(drawn, [f"{height:.1f}" for height in heights], fontsize=9, **PLAIN)
    axes.set_xticks(range(len(groups)), groups, **PLAIN)
    axes.set_ylim(0, 108)
    axes.set_ylabel("top-1, %", **PLAIN)
    axes.legend(frameon=False, prop=_FONT, loc="upper right", ncols=len(bars))
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def mean_cosine(cosines: FloatArray) -> float:
    """Mean of the cosines off the diagonal: how similar the rows of W are. 0 for one class."""
    count = len(cosines)
    mean = (cosines.sum() - np.trace(cosines)) / max(1, count * (count - 1))
    return round(float(mean), 2) + 0.0  # + 0.0: no minus zero


def _write_counts(axes: Axes, confusion: IntArray, shares: FloatArray) -> None:
    size = 14 if len(confusion) <= 8 else 9
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            ink = "white" if shares[row, column] > 0.5 else _INK
            axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=size, **PLAIN)


def _draw_loss(axes: Axes, train: Sequence[TrainPoint], val: Sequence[ValPoint]) -> None:
    epochs = np.array([point["epoch"] for point in train])
    losses = np.array([point["loss"] for point in train], dtype=np.float64)  # None → NaN, not drawn
    width = len(train) // 20
    axes.plot(epochs, losses, _line(train), color=GREEN, alpha=0.35 if width > 1 else 1.0, label="train")
    if width > 1:  # the noise of single steps hides the trend of a long run: also draw a moving mean
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        axes.plot(epochs[width // 2 :][: len(smooth)], smooth, color=GREEN, label=f"train, mean of {width} steps")
    measured = [(point["epoch"], point["loss"]) for point in val if point["loss"] is not None]
    if measured:
        axes.plot(*zip(*measured, strict=True), "o-", color=ORANGE, label="validation")
    axes.legend(frameon=False, prop=_FONT)


def _line(points: Sequence[TrainPoint]) -> str:
    return "o-" if len(points) < ANNOTATED else "-"  # a line of one point would be invisible


def _name_ticks(axes: Axes, classes: Sequence[str]) -> None:
    every = -(-len(classes) // NAMED)  # ceil: at most NAMED names
    places = list(range(0, len(classes), every))
    names = [_drawable(classes[place], place) for place in places]
    size = 9 if every > 1 else 8 if len(places) <= ANNOTATED else 6
    axes.set_xticks(places, names, rotation=90, fontsize=size, **PLAIN)
    axes.set_yticks(places, names, fontsize=size, **PLAIN)


def _drawable(name: str, number: int) -> str:
    """The name on one line, shortened; `#number` if the font lacks one of its characters."""
    line = " ".join(name.split())
    glyphs = get_font(findfont(_FONT))
    if not line or not line.isprintable() or any(not glyphs.get_char_index(ord(character)) for character in line):
        return f"#{number + 1}"
    return line if len(line) <= NAME_CHARS else line[: NAME_CHARS - 1] + "…"


def new_figure(width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="compressed", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    assert isinstance(figure.canvas, FigureCanvasAgg)
    for axes in figure.axes:
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_fontfamily("DejaVu Sans")
    file = io.BytesIO()
    # The bytes of savefig, which draws everything twice.
    figure.canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return file.getvalue()
