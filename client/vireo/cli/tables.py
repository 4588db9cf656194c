"""Prints a dataset's findings, and the results of training and evaluation, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_METRICS = {"top1": "top-1", "top5": "top-5", "mean_class_accuracy": "mean class accuracy", "map": "mAP"}
_BASE_TO_NOVEL = {"base": "trained classes", "novel": "classes left out", "harmonic_mean": "harmonic mean"}
_NUMBERS = _METRICS | {"base": "base classes", "novel": "novel classes"}
_HEADS = {
    "zero_shot": "as it is (zero-shot)",
    "ncm": "nearest class mean",
    "ridge": "ridge regression",
    "lda": "LDA",
    "default": "the recipe default",
}
_BLOCKS = "▁▂▃▄▅▆▇█"
_RELIABILITY = {
    "ece": "calibration error (ECE)",
    "ece_labels": "the same, of every label",
    "auroc": "known against unknown (AUROC)",
    "coverage": "answered at 90 % precision",
}
_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def print_findings(findings: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One line per finding; warnings and errors also name the first five paths."""
    for finding in findings:
        style = _STYLES.get(finding["severity"], "")
        console.print(f"{finding['severity']}: {finding['message']}", style=style, highlight=False, markup=False)
        paths = finding.get("paths") or ()
        if paths and finding["severity"] != "info":
            rest = finding.get("count", len(paths)) - 5
            names = ", ".join(paths[:5]) + (f" and {rest} more" if rest > 0 else "")
            console.print(f"    {names}", style="dim", highlight=False, markup=False)


def print_metrics(title: str, columns: Mapping[str, Mapping[str, Any] | None], console: Console) -> None:
    """`columns`: heading → metrics; a column that is None is left out."""
    shown = {heading: values for heading, values in columns.items() if values}
    rows = [(text, name) for name, text in _METRICS.items() if any(v.get(name) is not None for v in shown.values())]
    _print_table(title, rows, shown, console)


def print_base_to_novel(result: Mapping[str, Any], console: Console) -> None:
    """Top-1 on labels that were not trained, before and after: what training costs them."""
    shown = {heading: result[heading] for heading in ("before", "after") if heading in result}
    rows = [(text, name) for name, text in _BASE_TO_NOVEL.items() if any(name in values for values in shown.values())]
    title = "other labels, top-1 (a probe: the same recipe on half of the classes)"
    _print_table(title if result.get("how") == "probe" else "other labels, top-1", rows, shown, console)


def print_protocol(result: Mapping[str, Any], title: str, console: Console) -> None:
    """The protocol's table, and the line of the paper that it repeats."""
    table = Table(title=f"{result['name']}: {title}", title_justify="left", title_style="bold")
    names = list(result["rows"][-1]["numbers"])
    for heading in ("", "draws", *(_NUMBERS.get(name, name.replace("_", " ")) for name in names)):
        table.add_column(heading, justify="right" if heading else "left")
    for row in result["rows"]:
        cells = (_spread(row["numbers"].get(name), row["draws"]) for name in names)
        table.add_row(row["name"], str(row["draws"]), *cells)
    console.print(table)
    console.print(f"It repeats: {result['source']}", style="dim", highlight=False, markup=False)


def print_preview(result: Mapping[str, Any], console: Console) -> None:
    """Heads with their intervals, the curve over clips per class, the cost and the advice."""
    clips = f"{result['judged_clips']} clips, {len(result['classes'])} classes"
    table = Table(title=f"before training from {result['base']}: {clips}, cross-validated", title_justify="left")
    for heading in ("", "top-1", "95 % interval"):
        table.add_column(heading, justify="left" if not heading else "right")
    for head in result["heads"]:
        interval = head["interval"]
        shown = head["note"] or (" – ".join(_percent(end) for end in interval) if interval else "–")
        table.add_row(_HEADS.get(head["name"], head["name"]), _percent(head["top1"]), shown)
    console.print(table)
    if result["curve"]:
        table = Table(title="clips per class", title_justify="left")
        for heading in ("clips", "top-1", "90 % band", ""):
            table.add_column(heading, justify="right")
        for point in result["curve"]:
            band = f"{_percent(point['low'])} – {_percent(point['high'])}"
            table.add_row(str(point["shots"]), _percent(point["top1"]), band, "" if point["measured"] else "predicted")
        console.print(table)
    cost = result["cost"]
    console.print(
        f"Minutes here: {cost['features']:.1f} for features, then {cost['closed_form']:.2f} in closed form or about "
        f"{cost['gradient']:.0f} by the training loop.",
        highlight=False,
    )
    console.print(result["advice"]["sentence"], highlight=False, markup=False)


def print_calibration(result: Mapping[str, Any], console: Console) -> None:
    """How well score and confidence hold, on labels or clips that the fit has not seen."""
    for measured in result["measures"]:
        way = {"trained": "labels that were trained, ", "untrained": "labels read as if never trained, "}
        title = f"{result['model']}: {way.get(measured['reading'], '')}{result['left_out']} left out"
        table = Table(title=title, title_justify="left", title_style="bold")
        for heading in ("", "score", "confidence"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, text in _RELIABILITY.items():
            before, after = measured["before"][name], measured["after"][name]
            table.add_row(text, *("–" if value is None else f"{value:.3f}" for value in (before, after)))
        console.print(table)
    console.print(
        f"Version {result['version']}, fitted on {result['clips']} clips of {result['classes']} classes.",
        highlight=False,
    )
    for note in result["notes"]:
        console.print(note, style="yellow", highlight=False, markup=False)


def _print_table(
    title: str, rows: Sequence[tuple[str, str]], columns: Mapping[str, Mapping[str, Any]], console: Console
) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for heading in columns:
        table.add_column(heading, justify="right")
    for text, name in rows:
        table.add_row(text, *(_percent(values.get(name)) for values in columns.values()))
    console.print(table)


def _spread(found: Mapping[str, Any] | None, draws: int) -> str:
    if found is None:
        return "–"
    return _percent(found["mean"]) + (f" ± {_percent(found['std'])}" if draws > 1 else "")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def print_segments(timeline: Mapping[str, Any], console: Console) -> None:
    """The segments, one per line."""
    if not timeline["segments"]:
        console.print("No label is ahead long enough for a segment.", style="dim")
        return
    table = Table(title=f"a point every {timeline['stride']:g} s", title_justify="left", title_style="dim")
    table.add_column("seconds", justify="right")
    table.add_column("label")
    for heading in ("peak", "mean"):
        table.add_column(heading, justify="right", style="dim")
    for segment in timeline["segments"]:
        table.add_row(
            f"{segment['start']:.1f} – {segment['end']:.1f}",
            Text(segment["label"]),
            f"{segment['peak']:.3f}",
            f"{segment['mean']:.3f}",
        )
    console.print(table)


def print_curves(timeline: Mapping[str, Any], console: Console) -> None:
    """The similarity of each label over time, as a line of blocks with one scale for all labels."""
    curves: Mapping[str, Sequence[float]] = timeline["similarities"]
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    table = Table(title="similarity over time", title_justify="left", title_style="dim", show_header=False, box=None)
    width = max(console.width - 36, 20)
    for label, curve in curves.items():
        step = max(1, -(-len(curve) // width))
        line = "".join(
            _BLOCKS[round((max(curve[at : at + step]) - low) / ((high - low) or 1) * (len(_BLOCKS) - 1))]
            for at in range(0, len(curve), step)
        )
        table.add_row(Text(label[:28]), line, f"{max(curve):.3f}")
    console.print(table)
