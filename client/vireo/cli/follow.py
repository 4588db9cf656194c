"""A job before your eyes: its event stream as a progress bar, and what it says as lines."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from vireo.client import Client
from vireo.errors import VireoError
from vireo.events import Event

_PHASES = {
    "preparing": "preparing",
    "features": "reading features",
    "training": "training",
    "evaluating": "evaluating",
    "publishing": "publishing",
}


def follow(client: Client, job_id: str, console: Console, *, quiet: bool = False) -> dict[str, Any]:
    """The job's result, once it has one. Raises: VireoError, the job's own included; KeyboardInterrupt."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("waiting", total=None, detail="")
        why = (client.job(job_id)["progress"] or {}).get("waiting_for")
        if why and not quiet:
            console.print(f"Waiting: {why}.", style="yellow", highlight=False, markup=False)
        for event in client.events(job_id):
            _show(bar, task, event, console, quiet)
    job = client.job(job_id)
    if job["error"]:
        raise VireoError.from_dict(job["error"])
    result: dict[str, Any] = job["result"]
    return result


def _show(bar: Progress, task: TaskID, event: Event, console: Console, quiet: bool) -> None:
    if event.event == "progress":
        total, done = event.data.get("epochs"), event.data.get("epoch", 0.0)
        if not total:
            total, done = event.data.get("steps"), event.data.get("step", 0)
        phase = event.data.get("phase", "")
        bar.update(task, description=_PHASES.get(phase, phase), total=total, completed=done, detail=detail(event.data))
    elif event.event == "state":
        bar.update(task, description="running" if event.data == "running" else str(event.data))
    elif not quiet and (line := said(event)):
        console.print(line, style="dim", highlight=False, markup=False)


def detail(progress: dict[str, Any]) -> str:
    """`epoch 1.5/5 · loss 0.812 · lr 4.0e-05 · 12.1 clips/s · 5 min left`, as far as it is known."""
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


def said(event: Event) -> str | None:
    """A line for what should stay on the screen."""
    if event.event == "log":
        return str(event.data.get("message", ""))
    if event.event == "metric" and event.data.get("split") == "val":
        numbers = [f"{name} {value:.1%}" for name, value in event.data.items() if name in ("top1", "top5")]
        return f"epoch {event.data.get('epoch', 0):g}: validation {', '.join(numbers)}" if numbers else None
    return None


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
