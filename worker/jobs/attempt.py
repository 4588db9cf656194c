"""One attempt at a job: `run_job` gets a job id from the queue and leaves a finished job record.

It never raises: a job that cannot be answered carries its error as data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import Cancelled, VireoError
from core.records import Job
from core.state import lifecycle
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken, RunningJobs
from worker.jobs.reporter import Reporter, Superseded

log = logging.getLogger(__name__)

Handler = Callable[[Job, CancelToken, Reporter], dict[str, Any]]
"""Does a job of one kind and returns its result as plain data. Raises: VireoError, Superseded."""


class Interrupted(Exception):
    """The child process that ran the job died. The job is started again, from its last checkpoint if it has one."""


def run_job(handlers: Mapping[str, Handler], book: JobBook, running: RunningJobs, job_id: str) -> bool:
    """Run a job once. A second delivery of a message that was already handled changes nothing.

    Returns True if the job was put back into the queue, so that the caller must send its message again.
    """
    with running.token(job_id) as token:
        attempt = book.start(job_id)
        job = book.get(job_id) if attempt else None
        if job is None:
            return False
        try:
            _check_attempts(book.attempts_since_checkpoint(job_id))
            if book.cancel_requested(job_id):
                token.cancel()
            token.check()
            book.succeed(job, handlers[job.kind](job, token, Reporter(book, job_id, attempt)))
        except Superseded:
            log.warning("%s now belongs to another worker", job_id)
        except Cancelled as error:
            if token.worker_stopping:
                log.info("%s goes back into the queue because this worker stops", job_id)
                return book.release(job_id, attempt, counts_as_failure=False)
            book.fail(job, error)
        except Interrupted as error:
            log.warning("%s is started again: %s", job_id, error)
            return book.release(job_id, attempt, counts_as_failure=True)
        except VireoError as error:
            log.info("%s: %s (%s)", job_id, error.code, error.message)
            book.fail(job, error)
        except Exception:
            log.exception("%s failed with an unexpected error", job_id)
            book.fail(
                job,
                VireoError("Something went wrong inside the worker.", hint=f"Look for {job_id} in the worker's log."),
            )
    return False


def _check_attempts(attempts: int) -> None:
    """Raises: VireoError where the job has failed too often without saving a checkpoint."""
    if attempts > lifecycle.MAX_ATTEMPTS:
        raise VireoError(
            f"This job was given up: {lifecycle.MAX_ATTEMPTS} workers died while they ran it.",
            hint="The workers' logs show why each of them died. Too little memory is the usual cause.",
        )
