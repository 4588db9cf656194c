"""`vireo calibrate`: find out how often a model's similarities are right, and answer with confidence from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireo.cli import tables
from vireo.cli.commands.learning.training import ensure_dataset, watch
from vireo.cli.console import AsJson, Url, connected, out, print_json


def calibrate(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="DIR|ARCHIVE|DATASET",
            help="Labelled videos that the model has not learned from: a directory with one folder of videos per "
            "class, an archive of it, or the id of a dataset.",
        ),
    ],
    label_set: Annotated[
        str | None, typer.Option(help="Calibrate for the questions of this label set only: name or name:version.")
    ] = None,
    normalize_labels: Annotated[
        bool | None,
        typer.Option("--normalize-labels/--raw-labels", help="Whether the text encoder reads BrushHair as Brush Hair."),
    ] = None,
    diagram: Annotated[Path | None, typer.Option(help="Write the reliability diagram, a PNG, to this file.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Give a model's answers a confidence that holds: how often a label with this similarity is right."""
    with connected(url, as_json) as client:
        name = ensure_dataset(client, dataset, quiet=as_json)
        job = client.calibrations.start(name, model=model, label_set=label_set, normalize_labels=normalize_labels)
        found = client.calibrations.get(watch(job, as_json).id)
        if diagram is not None:
            client.calibrations.save_diagram(found.id, diagram)
        if as_json:
            print_json(found.raw)
            return
        tables.print_calibration(found.raw, out)
        out.print(f"Reliability diagram: {client.url}{found.links['diagram']}", highlight=False, soft_wrap=True)
