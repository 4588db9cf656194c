"""`vireo classify`: scores videos against labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.answer_file import AnswerFile
from vireo.cli.console import Url, connected, err, out, print_error, print_json, transfer_bar
from vireo.cli.many_videos import check_there, find_videos, write_rows
from vireo.cli.options import StrideOption, WindowOption
from vireo.cli.tables import print_segments
from vireo.client import Client
from vireo.errors import VireoError


def classify(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Video files, folders of them, http(s) URLs or ids of stored videos."),
    ],
    labels: Annotated[
        list[str] | None,
        typer.Option(help='Labels to score: several values, "a,b,c", a JSON array, or @file with one label per line.'),
    ] = None,
    label_set: Annotated[str | None, typer.Option(help="A stored label set: name or name:version.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model: name, name:3 or name@alias. Default: the server's.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Show only the K best labels.")] = None,
    views: Annotated[str | None, typer.Option(help="Clips × crops, from 1x1 to 4x3.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames per view.")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Also show when each label is seen.")] = False,
    stride: StrideOption = None,
    window: WindowOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Say that no label fits if none has this confidence (score, of an uncalibrated model)."),
    ] = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="Several labels may be right: mark those that reach the threshold (0.5).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON, one per line.")] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            dir_okay=False,
            help="Write a row per video into this file, as it is done. The same command goes on after an interruption.",
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Score videos against your own labels. A fine-tuned model can also use the labels it was trained on."""
    names = [name for value in labels or [] for name in parse_labels(value)]
    options: dict[str, Any] = {
        "label_set": label_set,
        "model": model,
        "top_k": top_k,
        "views": views,
        "frames": frames,
        "threshold": threshold,
        "mode": "multi" if multi else None,
        "timeline": timeline_options(timeline, stride, window),
    }
    if csv_file is not None and (as_json or options["timeline"]):
        raise typer.BadParameter("it cannot be combined with --json or a timeline", param_hint="--csv")
    with connected(url) as client:
        sources = find_videos(files)
        if csv_file is not None:
            with AnswerFile(csv_file, names, options) as rows:
                failures = write_rows(client, sources, rows, names, options)
        else:
            failures = _print_answers(client, sources, names, options, as_json)
    raise typer.Exit(1 if failures else 0)


def _print_answers(
    client: Client, sources: Mapping[str, str], names: list[str], options: dict[str, Any], as_json: bool
) -> int:
    """Returns how many videos have no answer."""
    failures = 0
    for file in sources.values():
        try:
            answer = _classify_one(client, file, names, options, quiet=as_json)
        except VireoError as error:
            failures += 1
            _show_error(file, error, as_json)
        else:
            _show_answer(file, answer, as_json)
    return failures


def parse_labels(value: str) -> list[str]:
    """The labels in one `--labels` value. Raises: typer.BadParameter."""
    if value.startswith("@"):
        try:
            lines = Path(value[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise typer.BadParameter(f"{value[1:]}: {error.strerror}", param_hint="--labels") from None
        return [line.strip() for line in lines if line.strip()]
    if value.lstrip().startswith("["):
        return _json_labels(value)
    return [part.strip() for part in value.split(",")] if "," in value else [value]


def timeline_options(timeline: bool, stride: float | None, window: float | None) -> dict[str, float] | None:
    """The field `timeline` of a question; None for none."""
    given = {"stride": stride, "window": window}
    options = {name: value for name, value in given.items() if value is not None}
    return options if timeline or options else None


def _json_labels(value: str) -> list[str]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"this is not a JSON array: {error}", param_hint="--labels") from None
    if not all(isinstance(item, str) for item in parsed):
        raise typer.BadParameter("the JSON array must hold strings only", param_hint="--labels")
    return list(parsed)


def _classify_one(
    client: Client, file: str, labels: list[str], options: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    check_there(file)
    with transfer_bar(file, then="classifying", quiet=quiet) as progress:
        return client.classify(file, labels, progress=progress, **options)


def _show_answer(file: str, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"file": file} | answer)
        return
    table = Table(title=f"{file} · {answer['model']}", title_justify="left", title_style="bold")
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("similarity", justify="right", style="dim")
    if answer.get("calibrated"):
        table.add_column("confidence", justify="right")
    for row in answer["predictions"]:
        confidence = [f"{row['confidence']:.0%}"] if answer.get("calibrated") else []
        label = f"✓ {row['label']}" if row.get("present") else row["label"]
        table.add_row(label, f"{row['score']:.1%}", f"{row['similarity']:.3f}", *confidence)
    out.print(table)
    if "timeline" in answer:
        print_segments(answer["timeline"], out)
    for warning in answer["warnings"]:
        err.print(f"[yellow]{warning}[/]")
    if answer["abstained"]:
        err.print("[yellow]No label reached the threshold.[/]")


def _show_error(file: str, error: VireoError, as_json: bool) -> None:
    if as_json:
        print_json({"file": file, "error": error.to_dict()})
    else:
        print_error(error, file)
