"""What a dataset's report, a training's and an evaluation's result look like in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_METRICS = {"top1": "top-1", "top5": "top-5", "mean_class_accuracy": "mean class accuracy", "map": "mAP"}
_BASE_TO_NOVEL = {"base": "trained classes", "novel": "classes left out", "harmonic_mean": "harmonic mean"}
_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def findings(found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One line each; paths only of what is wrong."""
    for finding in found:
        style = _STYLES.get(finding["severity"], "")
        console.print(f"{finding['severity']}: {finding['message']}", style=style, highlight=False, markup=False)
        paths = finding.get("paths") or ()
        if paths and finding["severity"] != "info":
            rest = finding.get("count", len(paths)) - 5
            names = ", ".join(paths[:5]) + (f" and {rest} more" if rest > 0 else "")
            console.print(f"    {names}", style="dim", highlight=False, markup=False)


def metrics(title: str, columns: Mapping[str, Mapping[str, Any] | None], console: Console) -> None:
    """`columns`: heading to metrics; those that are None are left out."""
    shown = {heading: values for heading, values in columns.items() if values}
    rows = [(words, name) for name, words in _METRICS.items() if any(v.get(name) is not None for v in shown.values())]
    _print(title, rows, shown, console)


def base_to_novel(found: Mapping[str, Any], console: Console) -> None:
    """What training cost other labels: top-1 before and after."""
    shown = {heading: found[heading] for heading in ("before", "after") if heading in found}
    rows = [(words, name) for name, words in _BASE_TO_NOVEL.items() if any(name in values for values in shown.values())]
    title = "other labels, top-1 (a probe: the same recipe on half of the classes)"
    _print(title if found.get("how") == "probe" else "other labels, top-1", rows, shown, console)


def _print(
    title: str, rows: Sequence[tuple[str, str]], columns: Mapping[str, Mapping[str, Any]], console: Console
) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for heading in columns:
        table.add_column(heading, justify="right")
    for words, name in rows:
        table.add_row(words, *(_share(values.get(name)) for values in columns.values()))
    console.print(table)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
