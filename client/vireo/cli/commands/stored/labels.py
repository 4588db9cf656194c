"""`vireo labels …`: label sets, and what is wrong with labels before anything is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.arguments import ListingGroup, label_names
from vireo.cli.console import AsJson, Url, connected, out, print_json, say
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption, TemplateOption
from vireo.schema.labels import LabelFinding

_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A label set: name, or name:3 for a version.")]


def list_label_sets(
    limit: Annotated[int, typer.Option(min=1, help="Most label sets that are listed.")] = 100,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the label sets, each with its latest version."""
    with connected(url, as_json) as client:
        found = list(client.label_sets.list(limit=limit))
    if as_json:
        print_json([each.raw for each in found])
        return
    table = Table("label set", "version", "labels", "description")
    for each in found:
        table.add_row(each.name, str(each.version), str(len(each.labels)), Text(each.description or ""))
    out.print(table if found else "There are no label sets.")


def show(name: NameArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Print the labels of a set, one per line."""
    with connected(url, as_json) as client:
        found = client.label_sets.get(name)
    say("\n".join(label.name for label in found.labels), found.raw, as_json=as_json)


def put(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the label set.")],
    labels: LabelsOption = None,
    template: TemplateOption = None,
    description: Annotated[str | None, typer.Option(help="What the label set is for.")] = None,
    if_version: Annotated[
        int | None, typer.Option(help="Write only if this is the latest version; 0: only if there is none.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a new version of a label set."""
    names = label_names(labels)
    if not names:
        raise typer.BadParameter("give the labels", param_hint="--labels")
    options: dict[str, Any] = {"templates": template or None, "description": description}
    with connected(url, as_json) as client:
        found = client.label_sets.put(name, names, if_version=if_version, **options)
    say(f"{found.name}:{found.version} has {len(found.labels)} labels.", found.raw, as_json=as_json)


def delete(name: NameArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a label set, or one of its versions."""
    with connected(url, as_json) as client:
        client.label_sets.delete(name)
    say(f"{name} is deleted.", {"deleted": name}, as_json=as_json)


def check(
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
    template: TemplateOption = None,
    picture: Annotated[
        Path | None, typer.Option("--map", help="Write a picture of the similarities, a PNG, to this file.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Find duplicates, near-synonyms, and labels that a text encoder cannot read well."""
    names = label_names(labels)
    if bool(names) == bool(label_set):
        raise typer.BadParameter("give labels, or a label set", param_hint="--labels")
    options: dict[str, Any] = {"model": model, "templates": template or None, "picture": picture}
    with connected(url, as_json) as client:
        if label_set:
            found = client.label_sets.check(label_set, **options)
        else:
            found = client.check_labels(names or (), **options)
    if as_json:
        print_json(found.raw)
        return
    for finding in found.findings:
        _show(finding)
    if not found.findings:
        out.print(f"{found.checked} labels: nothing to mend, as {found.model} reads them.", highlight=False)
    if found.left_out:
        out.print(f"and {found.left_out} more", style="dim", highlight=False)


def _show(finding: LabelFinding) -> None:
    style = _STYLES.get(finding.severity, "")
    out.print(f"{finding.severity}: {finding.message}", style=style, highlight=False, markup=False)
    out.print(f"    {finding.suggestion}", highlight=False, markup=False)


def labels_commands() -> typer.Typer:
    """The commands below `vireo labels`."""
    group = typer.Typer(
        cls=ListingGroup, help="Store label sets, and check labels before anything is asked. Without a command: list."
    )
    group.command("list")(list_label_sets)
    group.command("show")(show)
    group.command("put")(put)
    group.command("delete")(delete)
    group.command("check")(check)
    return group
