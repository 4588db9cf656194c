"""Follows a job in the terminal: its progress as a bar, its log and validation results as lines."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from vireo.answers import result_of
from vireo.client import Client
from vireo.events import Event

_PHASES = {
    "preparing": "preparing",
    "features": "reading features",
    "training": "training",
    "evaluating": "evaluating",
    "publishing": "publishing",
    "runs": "training runs",
}


def follow(client: Client, job_id: str, console: Console, *, quiet: bool = False) -> dict[str, Any]:
    """Show a job until it ends; returns its result. Raises: VireoError, the job's own included; KeyboardInterrupt."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("waiting", total=None, detail="")
        waiting_for = (client.job(job_id)["progress"] or {}).get("waiting_for")
        if waiting_for and not quiet:
            console.print(f"Waiting: {waiting_for}.", style="yellow", highlight=False, markup=False)
        for event in client.events(job_id):
            _show(bar, task, event, console, quiet)
    return result_of(client.job(job_id))


def _show(bar: Progress, task: TaskID, event: Event, console: Console, quiet: bool) -> None:
    if event.event == "progress":
        total, done = event.data.get("epochs"), event.data.get("epoch", 0.0)
        if not total:
            total, done = event.data.get("steps"), event.data.get("step", 0)
        phase = event.data.get("phase", "")
        bar.update(task, description=_PHASES.get(phase, phase), total=total, completed=done, detail=detail(event.data))
    elif event.event == "state":
        bar.update(task, description="running" if event.data == "running" else str(event.data))
    elif not quiet and (line := event_line(event)):
        console.print(line, style="dim", highlight=False, markup=False)


def detail(progress: dict[str, Any]) -> str:
    """`epoch 1.5/5 · loss 0.812 · lr 4.0e-05 · 12.1 clips/s · 5 min left`, without the parts that are not known."""
    parts: list[str] = []
    if progress.get("epochs"):
        parts.append(f"epoch {progress.get('epoch', 0):.1f}/{progress['epochs']:g}")
    elif progress.get("steps"):
        parts.append(f"{progress.get('step', 0)}/{progress['steps']}")
    for name, form in (("loss", "loss {:.3f}"), ("lr", "lr {:.1e}"), ("samples_per_s", "{:.1f} clips/s")):
        if progress.get(name) is not None:
            parts.append(form.format(progress[name]))
    if progress.get("eta_s") is not None:
        parts.append(f"{duration(progress['eta_s'])} left")
    return " · ".join(parts)


def event_line(event: Event) -> str | None:
    """The line that an event leaves on the screen; None if it leaves none."""
    if event.event == "log":
        return str(event.data.get("message", ""))
    if event.event == "metric" and event.data.get("split") == "val":
        numbers = [f"{name} {value:.1%}" for name, value in event.data.items() if name in ("top1", "top5")]
        closed_form = event.data.get("solver") == "closed_form"
        when = "fitted in closed form" if closed_form else f"epoch {event.data.get('epoch', 0):g}"
        return f"{when}: validation {', '.join(numbers)}" if numbers else None
    return None


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
