"""The task that a queue delivers: a job id in, a finished job record out. It never raises: a job that cannot be
answered carries its error as data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import Cancelled, VireoError
from core.records import Job
from core.state import lifecycle
from worker.jobs.book import JobBook
from worker.jobs.cancellation import Cancellations, CancelToken
from worker.jobs.reporter import Reporter, Superseded

log = logging.getLogger(__name__)

Handler = Callable[[Job, CancelToken, Reporter], dict[str, Any]]
"""Does a job of one kind and returns its result as plain data. Raises: VireoError, Superseded."""


class Interrupted(Exception):
    """What the job ran in died under it. It is to be started again, from what it had secured."""


def run_job(handlers: Mapping[str, Handler], book: JobBook, running: Cancellations, job_id: str) -> bool:
    """Do a job, once: a second delivery of a message that was already served changes nothing.

    True if the job was given back, and its message is to be sent again.
    """
    with running.token(job_id) as token:
        attempt = book.start(job_id)
        job = book.get(job_id) if attempt else None
        if job is None:
            return False
        try:
            _refuse_killers(book.stuck(job_id))
            if book.cancel_requested(job_id):
                token.trip()
            token.check()
            book.succeed(job, handlers[job.kind](job, token, Reporter(book, job_id, attempt)))
        except Superseded:
            log.warning("%s belongs to another worker by now", job_id)
        except Cancelled as error:
            if token.leaving:
                log.info("%s is given back, because this worker stops", job_id)
                return book.release(job_id, attempt, innocent=True)
            book.fail(job, error)
        except Interrupted as error:
            log.warning("%s is started again: %s", job_id, error)
            return book.release(job_id, attempt, innocent=False)
        except VireoError as error:
            log.info("%s: %s (%s)", job_id, error.code, error.message)
            book.fail(job, error)
        except Exception:
            log.exception("%s failed for a reason that nobody foresaw", job_id)
            book.fail(job, VireoError("Something went wrong inside the worker.", hint=f"Its log names {job_id}."))
    return False


def _refuse_killers(stuck: int) -> None:
    if stuck > lifecycle.MAX_ATTEMPTS:
        raise VireoError(
            f"This job was given up: {lifecycle.MAX_ATTEMPTS} workers died while they had it.",
            hint="The worker's log has the last words of each. Too little memory is the usual cause.",
        )
