"""The task that the queue delivers: a job id in, a finished job record out. It never raises: a job that cannot be
answered carries its error as data.
"""

from __future__ import annotations

import logging

from core import jobs
from core.errors import VireoError
from worker.cancellation import Cancellations
from worker.infer import HANDLERS
from worker.jobs import JobBook
from worker.runtime import Runtime

log = logging.getLogger(__name__)


def run_job(runtime: Runtime, book: JobBook, running: Cancellations, job_id: str) -> None:
    """Do a job, once: a second delivery of a message that was already served changes nothing."""
    with running.token(job_id) as token:
        attempts = book.start(job_id)
        if not attempts:
            return
        job = book.get(job_id)
        if job is None:
            return
        try:
            _refuse_killers(attempts)
            if book.cancel_requested(job_id):
                token.trip()
            token.check()
            book.succeed(job, HANDLERS[job.kind](runtime, job, token))
        except VireoError as error:
            log.info("%s: %s (%s)", job_id, error.code, error.message)
            book.fail(job, error)
        except Exception:
            log.exception("%s failed for a reason that nobody foresaw", job_id)
            book.fail(job, VireoError("Something went wrong inside the worker.", hint=f"Its log names {job_id}."))


def _refuse_killers(attempts: int) -> None:
    if attempts > jobs.MAX_ATTEMPTS:
        raise VireoError(
            f"This job was given up: {jobs.MAX_ATTEMPTS} workers died while they had it.",
            hint="If the video plays elsewhere, please report it together with the worker's log.",
        )
