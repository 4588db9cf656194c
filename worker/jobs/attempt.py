"""One attempt at a job: `run_job` gets a job id from the queue and leaves a finished job record.

It never raises: a job that cannot be answered carries its error as data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import redis
from opentelemetry.trace import SpanKind

from core.errors import Cancelled, StorageUnavailable, VireoError
from core.logs.belonging import KEY_ID, belong_to
from core.records import Job
from core.state.fairness import asked_by
from core.state.lifecycle import Attempt, Standing
from core.storage.failures import disk_is_full
from core.tracing.spans import span
from worker.jobs.book import JobBook, Superseded
from worker.jobs.cancellation import CancelToken, RunningJobs, StopReason
from worker.jobs.reporter import Reporter
from worker.jobs.turns import ASKER

log = logging.getLogger(__name__)

FIRST_DELAY = 0.25  # seconds until a postponed job is looked at again; it grows with every attempt
LONGEST_DELAY = 5.0

Handler = Callable[[Job, CancelToken, Reporter], dict[str, Any]]
"""Does a job of one kind and returns its result as plain data. Raises: VireoError, Superseded, Interrupted,
Postponed, Awaits."""


class Postponed(Exception):
    """This worker has no room for the job now. It goes back into the queue, and its thread serves another job."""


class Awaits(Exception):
    """The job goes on after other jobs, which it makes. Its thread serves others meanwhile, perhaps one of them."""

    def __init__(self, children: Sequence[Job], *, tolerant: bool = False) -> None:
        """`tolerant`: it goes on whatever they come to; otherwise one that fails ends the others."""
        super().__init__(f"{len(children)} children")
        self.children = children
        self.tolerant = tolerant


class Interrupted(Exception):
    """The child process that ran the job died. The job is started again, from its last checkpoint if it has one."""


class PutBack(NamedTuple):
    """A job that is in the queue again. Its message must be sent after the delay, in seconds."""

    job_id: str
    delay: float


def run_job(handlers: Mapping[str, Handler], book: JobBook, running: RunningJobs, message: str) -> PutBack | None:
    """Run the job of a message once. A second delivery of a message that was already handled changes nothing.

    `message`: the id that it carries; where it is another asker's turn, it starts another job. Returns None unless the
    job was put back into the queue.
    """
    belong_to(message, None)  # this thread has run another job before
    with ExitStack() as registered:
        with running.starting():
            try:
                attempt = book.start(message)
            except redis.RedisError as error:
                log.warning("%s cannot be started now; its message will be sent again: %s", message, error)
                return None
            if attempt is None:
                return None
            token = registered.enter_context(running.token(attempt))
        belong_to(attempt.job_id, None)
        delay = _run_attempt(handlers, book, attempt, token)
    return None if delay is None else PutBack(attempt.job_id, delay)


def _run_attempt(handlers: Mapping[str, Handler], book: JobBook, attempt: Attempt, token: CancelToken) -> float | None:
    """The delay after which the job's message must be sent again; None if it is not put back."""
    try:
        return _run(handlers, book, attempt, token)
    except Superseded:
        log.warning("%s now belongs to another worker", attempt.job_id)
    except redis.RedisError as error:
        log.warning("%s is started again: %s", attempt.job_id, error)
        with suppress(redis.RedisError):  # its lease will expire
            return _put_back(book, attempt, counts_as_failure=True)
    return None


def _run(handlers: Mapping[str, Handler], book: JobBook, attempt: Attempt, token: CancelToken) -> float | None:
    """Returns as `_run_attempt`. Raises: Superseded, redis.RedisError."""
    job_id, reporter = attempt.job_id, Reporter(book, attempt, token)
    try:
        ended = book.succeed(attempt, _result(handlers, book, attempt, token, reporter))
        if ended:
            reporter.result_stored()
    except (Superseded, redis.RedisError):
        raise
    except Cancelled as error:
        if token.reason is StopReason.SUPERSEDED:
            raise Superseded(job_id) from None
        if token.reason is StopReason.WORKER_STOPS:
            log.info("%s goes back into the queue because this worker stops", job_id)
            return _put_back(book, attempt, counts_as_failure=False)
        ended = book.fail(attempt, error)
    except Interrupted as error:
        log.warning("%s is started again: %s", job_id, error)
        return _put_back(book, attempt, counts_as_failure=True)
    except Awaits as awaited:
        log.log(logging.DEBUG if awaited.tolerant else logging.INFO, "%s waits for %s", job_id, awaited)
        try:
            standing = book.await_children(attempt, awaited.children, tolerant=awaited.tolerant)
        except StorageUnavailable as error:
            log.warning("%s is started again: its children cannot be made: %s", job_id, error)
            return _put_back(book, attempt, counts_as_failure=False, delay=LONGEST_DELAY)
        if standing is not Standing.CANCEL_PENDING:
            ended = standing is Standing.HELD
        else:
            ended = book.fail(attempt, Cancelled("The job was cancelled."))
    except Postponed as error:
        log.debug("%s is postponed: %s", job_id, error)
        delay = min(FIRST_DELAY * attempt.number, LONGEST_DELAY)
        return _put_back(book, attempt, counts_as_failure=False, delay=delay)
    except VireoError as error:
        log.info("%s: %s (%s)", job_id, error.code, error.message)
        ended = book.fail(attempt, error)
    except Exception as error:
        log.exception("%s failed with an unexpected error", job_id)
        ended = book.fail(attempt, _in_words(error, job_id))
    if not ended:
        raise Superseded(job_id)
    return None


def _in_words(error: Exception, job_id: str) -> VireoError:
    if disk_is_full(error):
        return StorageUnavailable("The disk of the worker's machine is full.", hint="Make room there and try again.")
    return VireoError("Something went wrong inside the worker.", hint=f"Look for {job_id} in the worker's log.")


def _put_back(book: JobBook, attempt: Attempt, *, counts_as_failure: bool, delay: float = 0.0) -> float | None:
    """The delay; None if the job has ended instead."""
    return delay if book.release(attempt, counts_as_failure=counts_as_failure) else None


def _result(
    handlers: Mapping[str, Handler], book: JobBook, attempt: Attempt, token: CancelToken, reporter: Reporter
) -> dict[str, Any]:
    """Raises: Cancelled, Interrupted, Superseded, VireoError, redis.RedisError."""
    job = book.get(attempt.job_id)
    if job is None:
        raise Superseded(attempt.job_id)
    belong_to(job.id, job.request_id)
    KEY_ID.set(job.api_key)
    ASKER.set(asked_by(job.project, job.api_key))
    token.check()
    with span(
        f"job {job.kind}",
        parent=job.traceparent,
        kind=SpanKind.CONSUMER,
        no_errors=(Awaits, Postponed, Superseded),
        job_id=job.id,
        request_id=job.request_id or "",
        attempt=attempt.number,
    ):
        return handlers[job.kind](job, token, reporter)
