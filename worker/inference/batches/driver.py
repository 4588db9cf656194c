"""The job of kind `batch`: asks its question about the videos of its manifest, a few at a time, and keeps their rows.

Each question is a job of kind `classification`, so it is cancelled, bounded, and repeated after a worker's death like
any other. The batch makes a few of them and waits without a thread. When half of them have ended, it writes the rows
that are ready and makes the next ones. Where it stands is in its progress, which only the attempt that it belongs to
can change: a killed worker loses nothing, and no row is written twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from core.batches.files import BatchFiles
from core.batches.manifest import BatchItem, check_source, read_manifest
from core.batches.request import BatchRequest
from core.batches.rows import BatchRow, row_of
from core.errors import BY_CODE, InvalidRequest, StorageUnavailable, VireoError
from core.questions import ClassifyRequest
from core.records import Job, JobState, Progress
from core.results import BatchResult
from core.settings import Settings
from core.state.payloads import PayloadLost
from core.storage import Store
from worker.jobs.attempt import Awaits, Postponed
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter

MOST_ROWS: Final = 500  # in one file
AHEAD: Final = 4  # windows of items behind the first without a row, which are asked while that one takes its time
TRIES: Final = 3  # of a question that fails for a reason that may pass


@dataclass(slots=True)
class _Found:
    """Rows that are ready, from the first item without one on."""

    rows: list[BatchRow] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    """The ids of the jobs that they come from."""


class Batches:
    def __init__(self, book: JobBook, store: Store, settings: Settings) -> None:
        self._book, self._store, self._settings = book, store, settings

    def run(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: Awaits while questions are open; Postponed while the store cannot be reached; VireoError for a
        manifest that cannot be used."""
        try:
            return self._run(job, token, reporter)
        except StorageUnavailable as error:  # what was accepted is not dropped: the job looks again
            raise Postponed(error.message) from error

    def _run(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        files = BatchFiles(self._store, job.id)
        total = files.total()
        if total is None:
            self._book.own_files(reporter.attempt)
            total = self._prepare(files, token)
        done, failed = _standing(job)
        while done < total:
            token.check()
            found = self._ready(job, islice(files.items(done, total), MOST_ROWS))
            if not found.rows:
                if questions := self._window(job, files.items(done, total)):
                    raise Awaits(questions, tolerant=True)
                continue  # the first has just ended
            files.write_rows(found.rows)
            done += len(found.rows)
            failed += sum(row.error is not None for row in found.rows)
            reporter.progress(Progress(phase="videos", step=done, steps=total, failed=failed))
            if found.children:
                self._book.forget(found.children)
        result = BatchResult(
            items=total, answered=total - failed, unanswered=failed, results=f"/v1/batches/{job.id}/results"
        )
        return result.model_dump(mode="json")

    def _prepare(self, files: BatchFiles, token: CancelToken) -> int:
        """Check the manifest. Returns the number of its items. Raises: InvalidRequest, StorageUnavailable."""
        hosts, prefixes = self._settings.allowed_hosts, self._settings.batch_prefixes
        most = self._settings.max_batch_items

        def bounded(items: Iterator[BatchItem]) -> Iterator[BatchItem]:
            for item in items:
                token.check()
                if item.index >= most:
                    raise InvalidRequest(
                        f"The manifest has more than {most} items.",
                        hint="Split it over several batches, or raise VIREO_MAX_BATCH_ITEMS.",
                        limit=most,
                    )
                yield item

        try:
            with files.manifest() as path:
                items = read_manifest(path, lambda name, value: check_source(name, value, hosts, prefixes))
                total = files.write_items(bounded(items))
        except FileNotFoundError:
            raise VireoError("The manifest is no longer in the store.", hint="Send the batch again.") from None
        if not total:
            raise InvalidRequest("The manifest names no videos.", hint="Send at least one item.")
        return total

    def _ready(self, job: Job, items: Iterator[BatchItem]) -> _Found:
        """What is known of the first items, up to the first without a row."""
        found = _Found()
        for item in items:
            if item.error is not None:
                found.rows.append(row_of(item, None, item.error))
                continue
            try:
                question = self._question(job, item)
            except Postponed:  # it waits with the open questions
                break
            if not question.state.final:
                break
            error = None if question.state is JobState.SUCCEEDED else question.error
            found.rows.append(row_of(item, question.result, error))
            found.children += [_child_id(job, item, number) for number in range(TRIES)]
        return found

    def _window(self, job: Job, items: Iterator[BatchItem]) -> list[Job]:
        """The questions to wait for: those about the next videos. A batch leaves room for others that wait.

        Raises: Postponed if all that are open are to be repeated later.
        """
        window = self._settings.batch_window
        unanswered: list[Job] = []
        later: Postponed | None = None
        for item in islice((item for item in items if item.error is None), AHEAD * window):
            try:
                question = self._question(job, item)
            except Postponed as postponed:
                later = postponed
                continue
            if not question.state.final:
                unanswered.append(question)
            if len(unanswered) == window:
                break
        if later and not unanswered:
            raise later
        others = self._book.waiting(besides=[question.id for question in unanswered])
        return unanswered[: max(1, window - others)]

    def _question(self, job: Job, item: BatchItem) -> Job:
        """The question about an item, which may be new: the first, or the one that repeats it after an error that may
        pass. Raises: Postponed until the time for that has come."""
        for number in range(TRIES - 1):
            known = self._known(_child_id(job, item, number))
            if known is None:
                return _child(job, item, number)
            if known.state is not JobState.FAILED:
                return known
            wait = BY_CODE.get((known.error or {}).get("code", ""), VireoError).retry_after
            if wait is None:
                return known
            if known.finished_at is not None and time.time() - known.finished_at < wait:
                raise Postponed(f"{known.id} is repeated soon")
        return self._known(_child_id(job, item, TRIES - 1)) or _child(job, item, TRIES - 1)

    def _known(self, child_id: str) -> Job | None:
        """The record of a question. One whose answer is no longer in the store has failed."""
        try:
            return self._book.get(child_id)
        except PayloadLost as error:
            lost = JobState.FAILED
            return Job(id=child_id, kind="classification", state=lost, error=error.to_dict(), created_at=0.0)


def _standing(job: Job) -> tuple[int, int]:
    """How many items have a row, and how many of these have an error."""
    progress = job.progress or {}
    return (progress["step"], progress["failed"]) if progress.get("phase") == "videos" else (0, 0)


def _child(job: Job, item: BatchItem, number: int) -> Job:
    asked = BatchRequest.model_validate(job.request, extra="ignore")
    url = None if item.sha256 else item.source
    request = ClassifyRequest(sha256=item.sha256, url=url, question=asked.question)
    return Job(
        id=_child_id(job, item, number),
        kind="classification",
        project=job.project,
        api_key=job.api_key,
        subject=asked.question.model,
        parent=job.id,
        request_id=job.request_id,
        traceparent=job.traceparent,
        request=request.model_dump(mode="json"),
        created_at=time.time(),
    )


def _child_id(job: Job, item: BatchItem, number: int) -> str:
    return f"job_{hashlib.sha256(f'{job.id}:{item.index}:{number}'.encode()).hexdigest()[:24]}"
