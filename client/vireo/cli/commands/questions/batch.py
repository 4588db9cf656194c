"""`vireo batch …`: one question about many videos that the server stores or fetches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.arguments import ListingGroup, label_names
from vireo.cli.console import AsJson, JsonLines, Url, connected, err, out, print_json, say
from vireo.cli.follow import detail, follow
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption, WebhookOption

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The id of a batch, job_….")]


def start(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO…|MANIFEST",
            help="Ids of stored videos, http(s) and s3 URLs; or one file that lists them, JSONL or CSV.",
        ),
    ],
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
    top_k: Annotated[int | None, typer.Option(help="Keep only the K best labels of each video.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", dir_okay=False, help="Wait, and write the rows: .csv, else JSONL.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    webhook: WebhookOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Start a batch. `vireo batch results JOB` shows its rows, also while it runs."""
    options: dict[str, Any] = {"label_set": label_set, "model": model, "top_k": top_k}
    manifest = videos[0] if len(videos) == 1 and Path(videos[0]).is_file() else None
    with connected(url, as_json, webhook=webhook) as client:
        given: dict[str, Any] = {"manifest": manifest} if manifest else {"videos": videos}
        job = client.batches.start(labels=label_names(labels), **given, **options)
        if wait or save:
            if not as_json:
                err.print(f"Batch {job.id}", style="dim", highlight=False)
            follow(job, err, quiet=as_json)
            job.refresh()
        if save:
            client.batches.save(job.id, save)
    if wait or save:
        done = job.view.result or {}
        told = f"{done.get('answered')} of {done.get('items')} videos have an answer"
        say(f"{told}." if save is None else f"{told}: {save}", job.raw, as_json=as_json)
    else:
        say(f"{job.id} is {job.state}. Its rows: vireo batch results {job.id}", job.raw, as_json=as_json)


def list_batches(
    limit: Annotated[int, typer.Option(min=1, help="Most batches that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the batches, the newest first."""
    with connected(url, as_json) as client:
        found = list(client.batches.list(limit=limit))
    if as_json:
        print_json([job.raw for job in found])
        return
    table = Table("batch", "state", "videos")
    for job in found:
        table.add_row(job.id, job.state, detail(job.raw.get("progress") or {}))
    out.print(table if found else "There are no batches.")


def show(job: JobArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Show how far a batch is."""
    with connected(url, as_json) as client:
        found = client.batches.get(job)
    done = found.progress
    told = f"{found.id} is {found.state}"
    if done and done.steps:
        told += f": {done.step} of {done.steps} videos, {done.failed or 0} with an error"
    say(f"{told}.", found.raw, as_json=as_json)


def results(
    job: JobArgument,
    save: Annotated[
        Path | None, typer.Option("--save", dir_okay=False, help="Write the rows into this file: .csv, else JSONL.")
    ] = None,
    as_json: JsonLines = False,
    url: Url = None,
) -> None:
    """Show the rows that are ready."""
    with connected(url, as_json) as client:
        if save is not None:
            client.batches.save(job, save)
            say(f"Written: {save}", {"file": str(save)}, as_json=as_json)
            return
        rows = client.batches.rows(job)
        if as_json:
            for row in rows:
                print_json(row.raw)
            return
        table = Table("video", "label", "score")
        for row in rows:
            name = row.id or row.source or str(row.index)
            if row.predictions:
                table.add_row(name, row.predictions[0].label, f"{row.predictions[0].score:.1%}")
            else:
                table.add_row(name, row.error.message if row.error else "–", "")
    out.print(table)


def batch_commands() -> typer.Typer:
    """The commands below `vireo batch`."""
    group = typer.Typer(
        cls=ListingGroup, help="Ask one question about many videos of the server. Without a command: list."
    )
    group.command("start")(start)
    group.command("list")(list_batches)
    group.command("show")(show)
    group.command("results")(results)
    return group
