"""`vireo labels check`: what is wrong with labels, before anything is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vireo.cli.commands.classify import parse_labels
from vireo.cli.console import AsJson, Url, connected, out, print_json

_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def check(
    labels: Annotated[
        list[str] | None,
        typer.Option(help='Labels to check: several values, "a,b,c", a JSON array, or @file with one label per line.'),
    ] = None,
    label_set: Annotated[str | None, typer.Option(help="A stored label set: name or name:version.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model whose text encoder reads them. Default: the server's.")
    ] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="A prompt template with one {}. The option may be repeated.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--map", help="Write a picture of the similarities, a PNG, to this file.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Find duplicates, near-synonyms, and labels that a text encoder cannot read well."""
    names = [name for value in labels or [] for name in parse_labels(value)]
    if bool(names) == bool(label_set):
        raise typer.BadParameter("give labels, or a label set", param_hint="--labels")
    with connected(url) as client:
        found = client.check_labels(names, label_set=label_set, model=model, templates=template, picture=picture)
    if as_json:
        print_json(found)
        return
    for finding in found["findings"]:
        _show(finding)
    if not found["findings"]:
        out.print(f"{found['checked']} labels: nothing to mend, as {found['model']} reads them.", highlight=False)
    if found["left_out"]:
        out.print(f"and {found['left_out']} more", style="dim", highlight=False)


def _show(finding: dict[str, Any]) -> None:
    style = _STYLES.get(finding["severity"], "")
    out.print(f"{finding['severity']}: {finding['message']}", style=style, highlight=False, markup=False)
    out.print(f"    {finding['suggestion']}", highlight=False, markup=False)


def labels_commands() -> typer.Typer:
    """The commands below `vireo labels`."""
    group = typer.Typer(no_args_is_help=True, help="Look at labels before anything is asked.")
    group.callback()(_group)
    group.command("check")(check)
    return group


def _group() -> None:
    """Look at labels before anything is asked."""
