"""`vireo jobs` and `vireo cancel`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.arguments import ListingGroup
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, program, say
from vireo.cli.follow import detail
from vireo.synchronous.jobs import Job

JobArgument = Annotated[str, typer.Argument(help="The job's id.")]


def list_jobs(
    kind: Annotated[
        str | None, typer.Option(help="Only jobs of this kind: classification, training, dataset, batch, …")
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The largest number of jobs to list.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List jobs, newest first."""
    with connected(url, as_json) as client:
        jobs = list(client.jobs.list(kind=kind, state=state, limit=limit))
    if as_json:
        print_json([job.raw for job in jobs])
        return
    table = Table()
    for heading in ("job", "kind", "state", "about", "created"):
        table.add_column(heading, no_wrap=heading == "job")
    for job in jobs:
        created = datetime.fromtimestamp(job.view.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(job.id, job.kind, job.state, describe(job), created)
    out.print(table)


def show(job: JobArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Show a job: how far it is, or its result or error."""
    with connected(url, as_json) as client:
        found = client.jobs.get(job)
    say(f"{found.id} · {found.kind} · {found.state}", found.raw, as_json=as_json)
    if not as_json and (told := describe(found)):
        out.print(told, highlight=False, markup=False, soft_wrap=True)


def cancel(job: JobArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Cancel a job. A queued job ends at once; a running one is told to stop."""
    with connected(url, as_json) as client:
        found = client.jobs.cancel(job)
    told = ", and was told to stop." if found.state == "running" else "."
    say(f"{job} is {found.state}{told}", found.raw, as_json=as_json)
    if found.kind == "training":
        err.print(f"Continue it with:  {program()} resume {job}", highlight=False)


def describe(job: Job[Any]) -> str:
    """What the job is about and how far it is, or why it failed."""
    if job.error:
        return job.error.message
    progress = detail(job.progress.raw) if job.progress and job.state == "running" else ""
    return " · ".join(filter(None, [job.view.subject, progress]))


def jobs_commands() -> typer.Typer:
    """The commands below `vireo jobs`."""
    group = typer.Typer(cls=ListingGroup, help="List jobs, and show one. Without a command: list.")
    group.command("list")(list_jobs)
    group.command("show")(show)
    return group
