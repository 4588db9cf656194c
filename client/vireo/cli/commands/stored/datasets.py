"""`vireo dataset …`: labelled videos to train on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from vireo.cli import options, tables
from vireo.cli.arguments import ListingGroup
from vireo.cli.commands.learning.training import send_dataset
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, say

DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="The id of a dataset, ds_….")]


def list_datasets(
    limit: Annotated[int, typer.Option(min=1, help="Most datasets that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the datasets."""
    with connected(url, as_json) as client:
        found = list(client.datasets.list(limit=limit))
    if as_json:
        print_json([dataset.raw for dataset in found])
        return
    table = Table("dataset", "name", "classes", "clips")
    for dataset in found:
        clips = ", ".join(f"{count} {split}" for split, count in dataset.splits.items())
        table.add_row(dataset.id, dataset.name, str(len(dataset.classes)), clips)
    out.print(table if found else "There are no datasets.")


def show(dataset: DatasetArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Show a dataset: its classes, its splits and the findings of its check."""
    with connected(url, as_json) as client:
        found = client.datasets.get(dataset)
    if as_json:
        print_json(found.raw)
        return
    table = Table("class", "train", "val", "test", title=f"{found.name} · {found.id}", title_justify="left")
    for each in found.classes:
        table.add_row(each.name, *(str(count or 0) for count in (each.train, each.val, each.test)))
    out.print(table)
    tables.print_findings(found.raw["report"], err)


def add(
    source: options.DatasetSource,
    name: Annotated[str | None, typer.Option(help="Default: the name of the folder or the archive.")] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the split.")] = None,
    val_fraction: Annotated[float | None, typer.Option(help="Share of each class that is held out.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Send a dataset, and show what its check finds."""
    with connected(url, as_json) as client:
        made = send_dataset(client, source, quiet=as_json, name=name, split_seed=split_seed, val_fraction=val_fraction)
    say(made.dataset, made.raw, as_json=as_json)


def delete(dataset: DatasetArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a dataset and its clips. Models that were trained on it stay."""
    with connected(url, as_json) as client:
        client.datasets.delete(dataset)
    say(f"{dataset} is deleted.", {"deleted": dataset}, as_json=as_json)


def dataset_commands() -> typer.Typer:
    """The commands below `vireo dataset`."""
    group = typer.Typer(cls=ListingGroup, help="Send, list, show and delete datasets. Without a command: list.")
    group.command("list")(list_datasets)
    group.command("show")(show)
    group.command("add")(add)
    group.command("delete")(delete)
    return group
