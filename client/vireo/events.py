"""A job's events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireo.schema.jobs import Checkpoint, LogLine, Metric, Progress

FINAL_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a job: `event` is `state`, `progress`, `metric`, `checkpoint` or `log`. The property of that
    name has what the event says; the others are None. `raw` is the JSON that was sent."""

    id: str
    event: str
    raw: Any

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, and no other event follows."""
        return self.state in FINAL_STATES

    @property
    def state(self) -> str | None:
        """The job's state."""
        return str(self.raw) if self.event == "state" else None

    @property
    def progress(self) -> Progress | None:
        """How far the job is."""
        return Progress.read(self.raw) if self.event == "progress" else None

    @property
    def metric(self) -> Metric | None:
        """The numbers of an epoch; `raw` has those that only some runs have."""
        return Metric.read(self.raw) if self.event == "metric" else None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """From where the run goes on after a worker's death."""
        return Checkpoint.read(self.raw) if self.event == "checkpoint" else None

    @property
    def log(self) -> LogLine | None:
        """A line of the run's log."""
        return LogLine.read(self.raw) if self.event == "log" else None
