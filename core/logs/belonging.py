"""The request and the job that log lines belong to. `contextvars` carry them: a thread that does a part of a job runs
in a copy of the context that it was started from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
JOB_ID: ContextVar[str | None] = ContextVar("job_id", default=None)
KEY_ID: ContextVar[str | None] = ContextVar("key_id", default=None)
"""The API key that a request was sent with. Its jobs are counted for it."""


def belong_to(job_id: str | None, request_id: str | None) -> None:
    """The lines from here on, until the next call. For threads and tasks that serve one request or job after another,
    so that no line belongs to the one before."""
    JOB_ID.set(job_id)
    REQUEST_ID.set(request_id)


@contextmanager
def lines_about(job_id: str) -> Iterator[None]:
    """The lines of the block are about this job, whose request is not known here."""
    token = JOB_ID.set(job_id)
    try:
        yield
    finally:
        JOB_ID.reset(token)
