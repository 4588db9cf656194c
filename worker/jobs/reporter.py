"""What a long job reports while it runs: progress goes into its record, events go into its stream.

A worker whose lease ran out may still be alive. Its job then belongs to another attempt and its reports are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from core.records import Progress
from core.state.lifecycle import Attempt, Standing
from core.state.payloads import PictureName
from worker.jobs.book import JobBook, Superseded
from worker.jobs.cancellation import CancelToken

log = logging.getLogger(__name__)


class Reporter:
    def __init__(self, book: JobBook, attempt: Attempt, token: CancelToken) -> None:
        """`token` is cancelled when a report finds that a user wants the job to stop."""
        self._book = book
        self.attempt = attempt
        self._token = token
        self._afterwards: list[Callable[[], None]] = []

    def afterwards(self, call: Callable[[], None]) -> None:
        """`call` runs once the job's result is stored, and does not run if the job ends in another way. It must not
        block: the thread that answered runs it."""
        self._afterwards.append(call)

    def result_stored(self) -> None:
        """Never raises: the job has its result."""
        for call in self._afterwards:
            try:
                call()
            except Exception:
                log.exception("%s has its result, but what follows it failed", self.attempt.job_id)

    def progress(self, progress: Progress) -> None:
        """Raises: Superseded."""
        data = progress.model_dump(mode="json", exclude_none=True)
        self._report("progress", data, data)

    def event(self, name: str, data: Any, *, checkpoint_saved: bool = False) -> None:
        """`checkpoint_saved`: the work done so far survives a worker's death. Raises: Superseded."""
        self._report(name, data, None, checkpoint_saved=checkpoint_saved)

    def picture(self, name: PictureName, content: bytes) -> None:
        """Keep a picture of the result for as long as the job is kept. Raises: StorageUnavailable."""
        self._book.keep_picture(self.attempt, name, content)

    def _report(self, name: str, data: Any, progress: dict[str, Any] | None, *, checkpoint_saved: bool = False) -> None:
        standing = self._book.report(self.attempt, name, data, progress, checkpoint_saved=checkpoint_saved)
        if standing is Standing.SUPERSEDED:
            raise Superseded(self.attempt.job_id)
        if standing is Standing.CANCEL_PENDING:
            self._token.cancel()
