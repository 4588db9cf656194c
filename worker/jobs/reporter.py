"""What a job that takes long says while it runs: progress into its record, events into its stream.

A worker that was believed dead (its lease ran out) may still be alive. Its job then belongs to another attempt, and
whatever it says is refused: it must stop, and must not end the job.
"""

from __future__ import annotations

from typing import Any

from core.records import Progress
from worker.jobs.book import JobBook


class Superseded(Exception):
    """The job has been given to another worker, or has ended."""


class Reporter:
    def __init__(self, book: JobBook, job_id: str, attempt: int) -> None:
        self._book = book
        self._job_id = job_id
        self.attempt = attempt

    def progress(self, progress: Progress) -> None:
        """Raises: Superseded."""
        data = progress.model_dump(mode="json", exclude_none=True)
        self._say("progress", data, data)

    def event(self, name: str, data: Any, *, secured: bool = False) -> None:
        """`secured`: what was done so far survives a worker's death. Raises: Superseded."""
        self._say(name, data, None, secured=secured)

    def _say(self, name: str, data: Any, progress: dict[str, Any] | None, *, secured: bool = False) -> None:
        if not self._book.report(self._job_id, self.attempt, name, data, progress, secured=secured):
            raise Superseded(self._job_id)
