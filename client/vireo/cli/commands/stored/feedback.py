"""`vireo feedback …`: confirm and correct answers, move labels in and out, and make a dataset of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli import tables
from vireo.cli.arguments import ListingGroup
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, say
from vireo.cli.exit_codes import Exit
from vireo.cli.follow import follow
from vireo.errors import VireoError
from vireo.schema.requests import FeedbackFilter
from vireo.schema.videos import Feedback

LabelOption = Annotated[str | None, typer.Option("--label", help="Only feedback with this label.")]
VideoOption = Annotated[str | None, typer.Option("--video", help="Only feedback about this stored video.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Only feedback about answers of this model: name, or name:3.")
]
ConfirmedOption = Annotated[
    bool | None, typer.Option("--confirmed/--corrected", help="Only answers that were confirmed, or corrected.")
]


def add(
    about: Annotated[
        str,
        typer.Argument(metavar="VIDEO|JOB", help="Id of a stored video (vid_…), or of the job of a question (job_…)."),
    ],
    label: Annotated[
        str | None,
        typer.Argument(metavar="LABEL", help="What it shows. Without it the answer of the job is confirmed."),
    ] = None,
    start: Annotated[float | None, typer.Option(help="Where the label begins, in seconds; with --end.")] = None,
    end: Annotated[float | None, typer.Option(help="Where it ends, in seconds.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that must know the label, if its labels are fixed.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say what a stored video shows, or confirm or correct an answer. The video is kept from then on."""
    job = about if about.startswith("job_") else None
    if job is None and label is None:
        raise typer.BadParameter("say what the video shows", param_hint="LABEL")
    with connected(url, as_json) as client:
        said = client.feedback.add(
            label,
            job=job,
            video_id=None if job else about,
            confirmed=True if label is None else None,
            start=start,
            end=end,
            model=model,
        )
    if as_json:
        print_json(said.raw)
    else:
        out.print(
            f"{said.id}: {said.video} shows {said.label!r}{_verdict(said)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def list_feedback(
    label: LabelOption = None,
    video: VideoOption = None,
    model: ModelOption = None,
    confirmed: ConfirmedOption = None,
    limit: Annotated[int, typer.Option(help="Most entries that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List feedback, the latest first."""
    with connected(url, as_json) as client:
        found = list(client.feedback.list(limit=limit, label=label, video_id=video, model=model, confirmed=confirmed))
    if as_json:
        print_json([each.raw for each in found])
        return
    if not found:
        out.print("There is no feedback.", style="dim")
        return
    table = Table()
    table.add_column("feedback", no_wrap=True)
    table.add_column("video", overflow="fold")
    for heading in ("seconds", "label", "answer"):
        table.add_column(heading)
    for each in found:
        table.add_row(
            each.id,
            each.video,
            "all" if each.start is None else f"{each.start:g} – {each.end:g}",
            Text(each.label),
            Text(each.predicted or "–"),
        )
    out.print(table)


def delete(
    feedback: Annotated[str, typer.Argument(metavar="FEEDBACK", help="The id of feedback, fb_….")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete feedback with its history. Its video stays."""
    with connected(url, as_json) as client:
        client.feedback.delete(feedback)
    say(f"{feedback} is deleted.", {"deleted": feedback}, as_json=as_json)


def export(
    file: Annotated[Path, typer.Argument(help="A file that ends in .json (Label Studio) or .csv.")],
    label: LabelOption = None,
    video: VideoOption = None,
    model: ModelOption = None,
    confirmed: ConfirmedOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write feedback as tasks of Label Studio, or as a table."""
    with connected(url, as_json) as client:
        client.feedback.save(file, label=label, video_id=video, model=model, confirmed=confirmed)
    say(f"Written: {file}", {"file": str(file)}, as_json=as_json)


def import_file(
    file: Annotated[Path, typer.Argument(help="A JSON export of Label Studio (.json), or a table (.csv).")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Take over labels from Label Studio or from a table with the columns `video` and `label`."""
    with connected(url, as_json) as client:
        report = client.feedback.load(file)
    if as_json:
        print_json(report.raw)
    else:
        out.print(
            f"{report.imported} imported, {report.unchanged} known already, {report.skipped} tasks without an "
            f"annotation, {report.failed} failed.",
            highlight=False,
        )
        for problem in report.problems:
            err.print(f"{problem.where}: {problem.message}", style="yellow", highlight=False, markup=False)
    if report.failed and not report.imported + report.unchanged:
        raise typer.Exit(Exit.REFUSED)


def dataset(
    name: Annotated[str | None, typer.Argument(help="Name of the dataset.")] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Only videos with this label. The option may be repeated.")
    ] = None,
    model: ModelOption = None,
    confirmed: ConfirmedOption = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the split.")] = None,
    val_fraction: Annotated[float | None, typer.Option(help="Share of each class that is held out.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a dataset of the stored videos that have feedback, to train on."""
    given: dict[str, Any] = {"labels": labels or None, "model": model, "confirmed": confirmed}
    filter = cast(FeedbackFilter, {field: value for field, value in given.items() if value is not None})
    with connected(url, as_json) as client:
        options: dict[str, Any] = {"split_seed": split_seed, "val_fraction": val_fraction}
        job = client.datasets.from_feedback(name, filter=filter or None, **options)
        try:
            made = follow(job, err, quiet=as_json)
        except VireoError as error:
            if not as_json:
                tables.print_findings(error.details.get("report") or (), err)
            raise
    if as_json:
        print_json(made.raw)
        return
    tables.print_findings(made.raw["report"], err)
    out.print(f"{made.dataset}: {made.clips} clips, {made.classes} classes.", highlight=False)


def _verdict(said: Feedback) -> str:
    if said.confirmed is None:
        return "."
    return ", as answered." if said.confirmed else f", not {said.predicted!r}."


def feedback_commands() -> typer.Typer:
    """The commands below `vireo feedback`."""
    group = typer.Typer(
        cls=ListingGroup, help="Confirm and correct answers, and make datasets of them. Without a command: list."
    )
    group.command("add")(add)
    group.command("list")(list_feedback)
    group.command("delete")(delete)
    group.command("export")(export)
    group.command("import")(import_file)
    group.command("dataset")(dataset)
    return group
