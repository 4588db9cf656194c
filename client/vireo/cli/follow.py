"""Follows a job in the terminal: its progress as a bar, its log and validation results as lines."""

from __future__ import annotations

from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from vireo.events import Event
from vireo.synchronous.jobs import Job

_PHASES = {
    "preparing": "preparing",
    "features": "reading features",
    "training": "training",
    "evaluating": "evaluating",
    "publishing": "publishing",
    "runs": "training runs",
}


AnswerT = TypeVar("AnswerT")


def follow(job: Job[AnswerT], console: Console, *, quiet: bool = False) -> AnswerT:
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
        progress = job.refresh().progress
        if progress and progress.waiting_for and not quiet:
            console.print(f"Waiting: {progress.waiting_for}.", style="yellow", highlight=False, markup=False)
        for event in job.follow():
            _show(bar, task, event, console, quiet)
    return job.result()


def _show(bar: Progress, task: TaskID, event: Event, console: Console, quiet: bool) -> None:
    if event.event == "progress":
        total, done = event.raw.get("epochs"), event.raw.get("epoch", 0.0)
        if not total:
            total, done = event.raw.get("steps"), event.raw.get("step", 0)
        phase = event.raw.get("phase", "")
        bar.update(task, description=_PHASES.get(phase, phase), total=total, completed=done, detail=detail(event.raw))
    elif event.event == "state":
        bar.update(task, description=str(event.state))
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
        return str(event.raw.get("message", ""))
    if event.event == "metric" and event.raw.get("split") == "val":
        numbers = [f"{name} {value:.1%}" for name, value in event.raw.items() if name in ("top1", "top5")]
        closed_form = event.raw.get("solver") == "closed_form"
        when = "fitted in closed form" if closed_form else f"epoch {event.raw.get('epoch', 0):g}"
        return f"{when}: validation {', '.join(numbers)}" if numbers else None
    return None


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
