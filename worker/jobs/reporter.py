"""What a long job reports while it runs: progress goes into its record, events go into its stream.

A worker whose lease ran out may still be alive. Its job then belongs to another attempt and its reports are refused: it
must stop, and it must not finish the job.
"""

from __future__ import annotations

from typing import Any

from core.records import Progress
from worker.jobs.book import JobBook


class Superseded(Exception):
    """The job belongs to another attempt, or has ended."""


class Reporter:
    def __init__(self, book: JobBook, job_id: str, attempt: int) -> None:
        self._book = book
        self._job_id = job_id
        self.attempt = attempt

    def progress(self, progress: Progress) -> None:
        """Raises: Superseded."""
        data = progress.model_dump(mode="json", exclude_none=True)
        self._report("progress", data, data)

    def event(self, name: str, data: Any, *, checkpoint_saved: bool = False) -> None:
        """`checkpoint_saved`: the work done so far survives a worker's death. Raises: Superseded."""
        self._report(name, data, None, checkpoint_saved=checkpoint_saved)

    def _report(self, name: str, data: Any, progress: dict[str, Any] | None, *, checkpoint_saved: bool = False) -> None:
        if not self._book.report(self._job_id, self.attempt, name, data, progress, checkpoint_saved=checkpoint_saved):
            raise Superseded(self._job_id)
