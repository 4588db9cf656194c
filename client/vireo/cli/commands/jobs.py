"""`vireo jobs` and `vireo cancel`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.console import AsJson, Url, connected, out, print_json, program
from vireo.cli.follow import detail


def list_jobs(
    kind: Annotated[
        str | None, typer.Option(help="Only training, evaluation, dataset, import, classify or embed.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The largest number of jobs to list.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List jobs, newest first."""
    with connected(url) as client:
        jobs = client.jobs(kind=kind, state=state, limit=limit)
    if as_json:
        print_json(jobs)
        return
    table = Table()
    for heading in ("job", "kind", "state", "about", "created"):
        table.add_column(heading, no_wrap=heading == "job")
    for job in jobs:
        created = datetime.fromtimestamp(job["created_at"], UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(job["id"], job["kind"], job["state"], describe(job), created)
    out.print(table)


def cancel(job: Annotated[str, typer.Argument(help="The job's id.")], url: Url = None) -> None:
    """Cancel a job. A queued job ends at once; a running one is told to stop."""
    with connected(url) as client:
        found = client.cancel(job)
    out.print(f"{job} is {found['state']}" + (", and was told to stop." if found["state"] == "running" else "."))
    if found["kind"] == "training":
        out.print(f"Continue it with:  {program()} resume {job}", highlight=False)


def describe(job: dict[str, Any]) -> str:
    """What the job is about and how far it is, or why it failed."""
    if job["error"]:
        return str(job["error"]["message"])
    progress = detail(job["progress"] or {}) if job["state"] == "running" else ""
    return " · ".join(filter(None, [job.get("subject"), progress]))
