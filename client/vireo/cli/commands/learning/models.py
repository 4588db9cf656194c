"""`vireo models …`, `vireo alias`, `vireo compare`, `vireo shadow`, `vireo import` and `vireo export`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vireo.cli.arguments import ListingGroup, parse_labels
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, say, transfer_bar
from vireo.cli.follow import follow
from vireo.schema.models import AliasShadow, Card

AliasRef = Annotated[str, typer.Argument(metavar="NAME@ALIAS", help="For example my-gym@production.")]


def list_models(as_json: AsJson = False, url: Url = None) -> None:
    """List the models: the ready-made ones, and the fine-tuned ones with their versions."""
    with connected(url, as_json) as client:
        models = list(client.models.list())
    if as_json:
        print_json([model.raw for model in models])
        return
    table = Table()
    for heading in ("model", "versions", "aliases", "note"):
        table.add_column(heading)
    for model in models:
        aliases = ", ".join(f"{alias} → {version}" for alias, version in model.aliases.items())
        versions = ", ".join(map(str, model.versions))
        note = "the default model" if model.default else model.note or ""
        table.add_row(model.name, versions, aliases, note)
    out.print(table)


def show(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")], as_json: AsJson = False, url: Url = None
) -> None:
    """Show a model and its versions."""
    with connected(url, as_json) as client:
        found = client.models.get(model)
    if as_json:
        print_json(found.raw)
        return
    aliases = ", ".join(f"{alias} → {version}" for alias, version in (found.aliases or {}).items())
    out.print(f"{found.name}: {found.kind}" + (f"; {aliases}" if aliases else ""), highlight=False, markup=False)
    if found.note:
        out.print(found.note, style="dim", highlight=False, markup=False, soft_wrap=True)
    table = Table("version", "from", "method", "classes", "top-1")
    for card in found.cards or ():
        top1 = (card.metrics or {}).get("top1")
        share = "–" if top1 is None else f"{top1:.1%}"
        table.add_row(f"{card.name}:{card.version}", card.base, card.method, str(len(card.classes)), share)
    if found.cards:
        out.print(table)


def delete(
    model: Annotated[str, typer.Argument(help="name for all versions, name:3 for one.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete a fine-tuned model, or one version. No number is used again."""
    with connected(url, as_json) as client:
        client.models.delete(model)
    say(f"{model} is deleted.", {"deleted": model}, as_json=as_json)


def alias(
    ref: AliasRef,
    version: Annotated[int, typer.Argument(min=1)],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Point an alias at a version of a fine-tuned model."""
    name, label = _split(ref)
    with connected(url, as_json) as client:
        model = client.models.set_alias(name, label, version)
    say(f"{ref} now means {name}:{version}.", model.raw, as_json=as_json)


def compare(
    ref: AliasRef,
    model: Annotated[str, typer.Argument(help="The candidate: a version such as my-gym:4, or a model of the zoo.")],
    dataset: Annotated[str | None, typer.Option(help="The id of the dataset whose held-out clips decide.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say whether a model is better than the version of an alias, on the same held-out clips."""
    name, label = _split(ref)
    with connected(url, as_json) as client:
        found = client.models.compare(name, label, model, dataset=dataset)
    say(found.sentence, found.raw, as_json=as_json)


def shadow(
    ref: AliasRef,
    version: Annotated[
        int | None, typer.Argument(min=1, help="The version to try out. Without it: show what was counted.")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of the questions that it scores as well.")
    ] = 0.1,
    off: Annotated[bool, typer.Option("--off", help="Take the shadow away.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Let a version score questions to an alias without answering them, and show how often both agree."""
    name, label = _split(ref)
    if off and version is not None:
        raise typer.BadParameter("give a version or --off, not both", param_hint="--off")
    with connected(url, as_json) as client:
        if off:
            client.models.delete_shadow(name, label)
            say(f"{ref} has no shadow any more.", {"alias": ref, "shadow": None}, as_json=as_json)
            return
        models = client.models
        found = models.shadow(name, label) if version is None else models.set_shadow(name, label, version, share)
    if as_json:
        print_json(found.raw)
    else:
        _show_shadow(found)


def _show_shadow(found: AliasShadow) -> None:
    name, counts = found.model, found.counts
    out.print(
        f"{name}:{found.version} scores {found.share:.0%} of the questions to {name}@{found.alias}, which "
        f"{name}:{found.standing} answers.",
        highlight=False,
        soft_wrap=True,
    )
    left_out = f"{counts.skipped} skipped under load, {counts.failed} failed"
    if not counts.seen:
        out.print(f"No question has been scored by both yet ({left_out}).", highlight=False)
    else:
        out.print(
            f"They agree on {counts.agreed} of {counts.seen} questions ({counts.agreement or 0:.1%}; {left_out}). "
            f"Mean margin: {counts.margin or 0:.3f}, of the shadow {counts.shadow_margin or 0:.3f}.",
            highlight=False,
            soft_wrap=True,
        )
    if counts.last_error:
        err.print(f"The last failure: {counts.last_error}", style="yellow", highlight=False, markup=False)
    if counts.differences:
        table = Table("answered", "shadow", "questions")
        for each in counts.differences[:10]:
            table.add_row(each.label, each.shadow_label, str(each.questions))
        out.print(table)


def _split(ref: str) -> tuple[str, str]:
    """The name and the alias. Raises: typer.BadParameter."""
    name, at, alias = ref.partition("@")
    if not (name and at and alias):
        raise typer.BadParameter("write NAME@ALIAS, for example my-gym@production", param_hint="NAME@ALIAS")
    return name, alias


def import_checkpoint(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A published checkpoint (.pt).")],
    name: Annotated[str, typer.Option("--as", help="Name of the model that gets a new version.")],
    base: Annotated[
        str | None, typer.Option(help="The model of the zoo whose architecture and text tower the checkpoint has.")
    ] = None,
    temporal: Annotated[str | None, typer.Option(help="Temporal head. Default: read from the file.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames per clip. Default: read from the file.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(help='The classes it was trained on: "a,b,c", a JSON array, or @file with one class per line.'),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Import a checkpoint as a new version of a model."""
    names = parse_labels(classes) if classes else None
    with connected(url, as_json) as client:
        with transfer_bar(file, then="reading", quiet=as_json) as progress:
            job = client.models.add_checkpoint(
                file, name, progress=progress, base=base, temporal=temporal, frames=frames, classes=names
            )
        result = follow(job, err, quiet=as_json)
    if as_json:
        print_json(result.raw)
        return
    out.print(f"{result.model} is imported.", highlight=False)
    if result.note:
        out.print(result.note, style="dim", highlight=False, markup=False, soft_wrap=True)


def export(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias of a fine-tuned model.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write; its name ends with .safetensors.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a version as a plain open_clip state dict."""
    if file.suffix != ".safetensors":
        raise typer.BadParameter("the file's name must end with .safetensors", param_hint="FILE")
    with (
        connected(url, as_json) as client,
        transfer_bar(file, then="writing", verb="downloading", quiet=as_json) as progress,
    ):
        exported = client.models.export(model, file, progress=progress)
    card, stripped = exported.card, exported.stripped
    if as_json:
        version = f"{card.name}:{card.version}"
        print_json({"model": version, "file": str(file)} | asdict(stripped))
        return
    out.print(f"{stripped.tensors} tensors of {card.name}:{card.version} are in {file}.", highlight=False)
    for line in _left_out(card, stripped.dropped, stripped.text):
        err.print(line, style="yellow", highlight=False, markup=False)
    if stripped.text and not card.architecture.startswith("custom-"):
        call = f"open_clip.create_model({card.architecture!r}, pretrained={str(file)!r})"
        out.print(call, style="dim", highlight=False, markup=False, soft_wrap=True)


def _left_out(card: Card, dropped: Sequence[str], text: bool) -> Iterator[str]:
    """What the version has and the file lacks, one sentence each."""
    if {"temporal", "time_blocks"} & set(dropped):
        yield (
            f"The temporal head ({card.temporal['kind']}) is left out, because open_clip has no such module. "
            "Other programs compute other vectors and scores."
        )
    if "context" in dropped:
        yield "The learned context vectors are left out. Other programs compute other vectors for labels."
    if not card.open_labels:
        yield "The classifier is left out. It knows classes only by number, so no text tower can replace it."
    if not text:
        encoder = f"the text tower of {card.base}" if card.text == "base" else "another text encoder"
        yield f"The file holds no text tower: the version uses {encoder}. Load the file with strict=False."
    if card.architecture.startswith("custom-"):
        yield f"open_clip lists no {card.architecture}. Its definition is architecture.json beside the weights."


def models_commands() -> typer.Typer:
    """The commands below `vireo models`."""
    group = typer.Typer(cls=ListingGroup, help="List, show and delete models. Without a command: list.")
    group.command("list")(list_models)
    group.command("show")(show)
    group.command("delete")(delete)
    return group
