"""The table as Markdown, JSON and a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import end_to_end
from benchmarks.bench.goals import Goal
from benchmarks.bench.machine import in_words
from benchmarks.bench.measures import Key, Measures, rows_of, spread


def write(folder: Path, name: str, machine: dict[str, Any], measures: Measures, goals: list[Goal]) -> None:
    """`name`.md, .json and .svg."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine, "measures": measures.as_json()}
    data["goals"] = [
        {"line": goal.line, "most": goal.most, "figure": goal.figure, "held": goal.held, "detail": goal.detail}
        for goal in goals
    ]
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    _draw(folder / f"{name}.svg", measures)
    text = markdown(machine, measures, goals)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def markdown(machine: dict[str, Any], measures: Measures, goals: Iterable[Goal]) -> str:
    parts = [in_words(machine)]
    parts += [f"## {row}\n\n{_table(measures, row)}" for row in rows_of(measures)]
    lines = [(goal.line, f"≤ {_number(goal.most)}", _figure(goal), _verdict(goal), goal.detail) for goal in goals]
    parts.append("## Goals\n\n" + _rendered(("line", "goal", "measured", "", ""), lines))
    return "\n\n".join(parts) + "\n"


def _table(measures: Measures, row: str) -> str:
    keys = [key for key in measures.samples if key.row == row]
    columns = list(dict.fromkeys((key.clients, key.what, key.unit) for key in keys))
    columns.sort(key=lambda column: (column[1], column[0]))
    head = ["model", "what", *(_heading(*column) for column in columns)]
    subjects = dict.fromkeys((key.model, key.subject) for key in keys)
    found = {(key.model, key.subject, (key.clients, key.what, key.unit)): measures.samples[key] for key in keys}
    lines = [
        (model, subject, *(_cell(found.get((model, subject, column))) for column in columns))
        for model, subject in subjects
    ]
    return _rendered(head, lines)


def _heading(clients: int, what: str, unit: str) -> str:
    of = f", {clients} client{'s' if clients > 1 else ''}" if clients else ""
    return f"{what} ({unit}{of})"


def _cell(values: list[float] | None) -> str:
    """The median, and half the distance of the quartiles where there is one."""
    if not values:
        return ""
    return f"{_number(statistics.median(values))} ± {100 * spread(values):.0f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _figure(goal: Goal) -> str:
    return "not measured" if goal.figure is None else _number(goal.figure)


def _verdict(goal: Goal) -> str:
    return {None: "", True: "held", False: "**missed**"}[goal.held]


def _rendered(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    heading = list(head)
    return "\n".join([line(heading), line("---" for _ in heading), *(line(cells) for cells in lines)])


def _draw(file: Path, measures: Measures) -> None:
    """CPU-seconds per video of each server, at the most clients; nothing where none was measured."""
    keys = list(measures.of(end_to_end.ROW, end_to_end.CPU))
    if not keys:
        return
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    bars = list(_bars(measures, keys))
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(bars) + 1.2), layout="constrained")
    axes.barh([name for name, _, _ in bars][::-1], [value for _, value, _ in bars][::-1])
    for bar, (_, _, ours) in zip(axes.patches, bars[::-1], strict=True):
        bar.set_color("tab:blue" if ours else "tab:gray")
    axes.set_xlabel(f"CPU-seconds per video, {max(key.clients for key in keys)} clients")
    figure.savefig(file)
    pyplot.close(figure)


def _bars(measures: Measures, keys: list[Key]) -> Iterator[tuple[str, float, bool]]:
    most = max(key.clients for key in keys)
    for key in keys:
        if key.clients == most:
            yield f"{key.model}: {key.subject}", statistics.median(measures.samples[key]), key.documented is None
