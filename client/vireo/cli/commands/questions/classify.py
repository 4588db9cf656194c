"""`vireo classify`: scores videos against labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.answer_file import AnswerFile
from vireo.cli.arguments import label_names
from vireo.cli.console import JsonLines, Url, connected, err, out, print_error, print_json, print_warnings, transfer_bar
from vireo.cli.exit_codes import Exit, exit_code
from vireo.cli.many_videos import check_there, find_videos, write_rows
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption, StrideOption, WindowOption
from vireo.cli.tables import print_segments
from vireo.errors import ConnectionFailed, VireoError
from vireo.schema.questions import Classification
from vireo.synchronous.client import Client


def classify(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Video files, folders of them, http(s) URLs or ids of stored videos."),
    ],
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
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
    as_json: JsonLines = False,
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
    names = label_names(labels)
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
    with connected(url, as_json) as client:
        sources = find_videos(files)
        if csv_file is not None:
            with AnswerFile(csv_file, names or [], options) as rows:
                status = Exit.FAILED if write_rows(client, sources, rows, names, options) else Exit.OK
        else:
            status = _print_answers(client, sources, names, options, as_json)
    raise typer.Exit(status)


def _print_answers(
    client: Client, sources: Mapping[str, str], names: list[str] | None, options: dict[str, Any], as_json: bool
) -> Exit:
    """Returns the exit status: that of the error of an only video."""
    status = Exit.OK
    for file in sources.values():
        try:
            answer = _classify_one(client, file, names, options, quiet=as_json)
        except VireoError as error:
            print_error(error, file, as_json=as_json)
            status = exit_code(error) if len(sources) == 1 or isinstance(error, ConnectionFailed) else Exit.FAILED
            if isinstance(error, ConnectionFailed):
                return status
        else:
            _show_answer(file, answer, as_json)
    return status


def timeline_options(timeline: bool, stride: float | None, window: float | None) -> dict[str, float] | None:
    """The field `timeline` of a question; None for none."""
    given = {"stride": stride, "window": window}
    options = {name: value for name, value in given.items() if value is not None}
    return options if timeline or options else None


def _classify_one(
    client: Client, file: str, labels: list[str] | None, options: dict[str, Any], *, quiet: bool
) -> Classification:
    source = check_there(file)
    with transfer_bar(file, then="classifying", quiet=quiet) as progress:
        return client.classify(labels=labels, progress=progress, **source, **options)


def _show_answer(file: str, answer: Classification, as_json: bool) -> None:
    if as_json:
        print_json({"file": file} | answer.raw)
    else:
        print_answer(file, answer)


def print_answer(title: str, answer: Classification) -> None:
    """The labels with their scores, and the segments of a timeline."""
    table = Table(title=f"{title} · {answer.model}", title_justify="left", title_style="bold")
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("similarity", justify="right", style="dim")
    if answer.calibrated:
        table.add_column("confidence", justify="right")
    for row in answer.predictions:
        confidence = [] if row.confidence is None else [f"{row.confidence:.0%}"]
        label = f"✓ {row.label}" if row.present else row.label
        table.add_row(Text(label), f"{row.score:.1%}", f"{row.similarity:.3f}", *confidence)
    out.print(table)
    if answer.timeline:
        print_segments(answer.timeline.raw, out)
    print_warnings(answer.raw)
    if answer.abstained:
        err.print("[yellow]No label reached the threshold.[/]")
