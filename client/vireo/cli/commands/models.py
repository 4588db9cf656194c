"""`vireo models`, `vireo alias`, `vireo import`, `vireo export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.commands.classify import parse_labels
from vireo.cli.console import AsJson, Url, connected, err, moving, out, print_json
from vireo.cli.follow import follow


def list_models(as_json: AsJson = False, url: Url = None) -> None:
    """List the models: those that need no training, and the fine-tuned ones with their versions."""
    with connected(url) as client:
        models = client.models()
    if as_json:
        print_json(models)
        return
    table = Table()
    for heading in ("model", "versions", "aliases", "note"):
        table.add_column(heading)
    for model in models:
        aliases = ", ".join(f"{alias} → {version}" for alias, version in model["aliases"].items())
        versions = ", ".join(map(str, model["versions"]))
        note = "answers by default" if model["default"] else model["note"] or ""
        table.add_row(model["name"], versions, aliases, note)
    out.print(table)


def alias(
    ref: Annotated[str, typer.Argument(metavar="NAME@ALIAS", help="For example my-gym@production.")],
    version: Annotated[int, typer.Argument(min=1)],
    url: Url = None,
) -> None:
    """Point an alias at a version of a fine-tuned model."""
    name, at, label = ref.partition("@")
    if not (name and at and label):
        raise typer.BadParameter("write NAME@ALIAS, for example my-gym@production", param_hint="NAME@ALIAS")
    with connected(url) as client:
        client.set_alias(name, label, version)
    out.print(f"{ref} is {name}:{version} now.", highlight=False)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A published checkpoint (.pt).")],
    name: Annotated[str, typer.Option("--as", help="Name of the model that gets a new version.")],
    base: Annotated[str | None, typer.Option(help="Zoo model whose architecture and text tower it has.")] = None,
    temporal: Annotated[str | None, typer.Option(help="Temporal head; default: read from the file.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames per clip; default: read from the file.")] = None,
    classes: Annotated[
        str | None, typer.Option(help='What it was trained on: "a,b,c", a JSON array, or @file with one per line.')
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Import a checkpoint as a new version of a model."""
    names = parse_labels(classes) if classes else None
    with connected(url) as client:
        with moving(file, then="reading", quiet=as_json) as sent:
            job = client.import_checkpoint(
                file, name, progress=sent, base=base, temporal=temporal, frames=frames, classes=names
            )
        result = follow(client, job["id"], err, quiet=as_json)
    if as_json:
        print_json(result)
        return
    out.print(f"{result['model']} is there.", highlight=False)
    if result.get("note"):
        out.print(result["note"], style="dim", highlight=False, markup=False, soft_wrap=True)


def export(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias of a fine-tuned model.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write it; ends with .safetensors.")],
    url: Url = None,
) -> None:
    """Write a version as a plain open_clip state dict."""
    if file.suffix != ".safetensors":
        raise typer.BadParameter("the file's name must end with .safetensors", param_hint="FILE")
    with connected(url) as client, moving(file, then="writing", verb="downloading") as moved:
        done = client.export(model, file, progress=moved)
    card = done["card"]
    out.print(f"{done['tensors']} tensors of {card['name']}:{card['version']} are in {file}.", highlight=False)
    for line in _losses(card, done["dropped"], done["text"]):
        err.print(line, style="yellow", highlight=False, markup=False)
    if done["text"] and not card["architecture"].startswith("custom-"):
        words = f"open_clip.create_model({card['architecture']!r}, pretrained={str(file)!r})"
        out.print(words, style="dim", highlight=False, markup=False, soft_wrap=True)


def _losses(card: dict[str, Any], dropped: list[str], text: bool) -> Iterator[str]:
    """What the file is not, although the version is."""
    if {"temporal", "time_blocks"} & set(dropped):
        yield (
            f"Its temporal head ({card['temporal']['kind']}) is left out, since open_clip has no such module: "
            "elsewhere clips get other vectors and other scores."
        )
    if "context" in dropped:
        yield "Its learned context vectors are left out: labels have other vectors elsewhere."
    if not card["open_labels"]:
        yield "Its classifier is left out: it knew its classes by number, and no text tower says what they are."
    if not text:
        whose = f"that of {card['base']}" if card["text"] == "base" else "another encoder's"
        yield f"No text tower is in the file: the version reads labels with {whose}. Load it with strict=False."
    if card["architecture"].startswith("custom-"):
        yield f"open_clip lists no {card['architecture']}; it is architecture.json beside the version in the store."
