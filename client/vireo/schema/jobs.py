"""Jobs, and what their events say.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorBody(Result):
    code: str
    """stable, for programs"""
    message: str
    """for people"""
    hint: str | None
    """what to do"""
    request_id: str | None
    details: dict[str, Any]
    """the facts of the message, for programs"""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobProgress(Result):
    """Progress of a job. While it waits: `jobs_before`, and `waiting_for` where no worker is ready. While it runs:
    the data of its last `progress` event.
    """

    phase: str | None
    """stage of the run"""
    epoch: float
    """epochs done"""
    epochs: float | None
    """epochs in all"""
    step: int
    """optimiser steps done"""
    steps: int | None
    """optimiser steps in all"""
    loss: float | None
    """training loss of the last step"""
    lr: float | None
    """learning rate of new modules"""
    samples_per_s: float | None
    """clips trained on per second"""
    eta_s: float | None
    """seconds left"""
    failed: int | None
    """videos of a batch that have an error"""
    jobs_before: int | None
    """number of jobs in the queue before this one"""
    waiting_for: str | None
    """why no worker starts it, in words"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery(Result):
    """One attempt to send a webhook."""

    at: float
    """unix seconds"""
    seconds: float
    """until the answer, or until it was given up"""
    status: int | None
    """of the answer; null without one"""
    error: str | None
    """why it counts as failed; null for a success"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook(Result):
    """Where the end of a job is announced, and how that went."""

    url: str
    """without its query in answers, because that may be secret"""
    state: str
    """`failed`: the last attempt has failed, or the server answered 410"""
    next_at: float | None
    """unix seconds of the next attempt, once one has failed"""
    deliveries: list[Delivery]
    """all attempts, the earliest first"""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView(Result):
    """A job."""

    id: str
    """`job_…`"""
    kind: str
    """kind of work"""
    state: str
    """`queued`, then `running`, then one of the three final states"""
    subject: str | None
    """the model or dataset that the job makes or uses, if it names one"""
    request_id: str | None
    """the id of the HTTP request that made the job; the logs of gateway and worker have it"""
    parent: str | None
    """the job that made this one, such as a protocol that trains models"""
    progress: JobProgress | None
    """while queued: `jobs_before`, and `waiting_for` where no worker is ready; while running: the data of the last
    `progress` event
    """
    error: ErrorBody | None
    """of a job that failed: the inside of the error envelope"""
    attempts: int
    """how often a worker has started the job; above 1 after a worker's death, and where it waited for jobs of its
    own
    """
    links: dict[str, str]
    """`self`: the job; `events`: its event stream"""
    created_at: float
    """unix seconds"""
    started_at: float | None
    """unix seconds"""
    finished_at: float | None
    """unix seconds"""
    request: dict[str, Any] | None
    """the request; null for questions about a video or a text"""
    webhook: Webhook | None
    """where the job's end is announced, and how that went"""
    result: Any
    """of a job that succeeded: the answer to the request, by its kind"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress(Result):
    """Progress of a long job, in `GET /v1/jobs/{id}` and, once per step, in the event stream. In the phase `runs` a
    protocol waits for its training jobs, in `videos` a batch for its questions: `step` counts those that have
    ended, of `steps`.
    """

    phase: str
    """stage of the run"""
    epoch: float
    """epochs done"""
    epochs: float | None
    """epochs in all"""
    step: int
    """optimiser steps done"""
    steps: int | None
    """optimiser steps in all"""
    loss: float | None
    """training loss of the last step"""
    lr: float | None
    """learning rate of new modules"""
    samples_per_s: float | None
    """clips trained on per second"""
    eta_s: float | None
    """seconds left"""
    failed: int | None
    """videos of a batch that have an error"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(Result):
    """Data of a `metric` event: the numbers of an epoch."""

    split: str
    epoch: float
    """epochs done"""
    loss: float | None
    lr: float | None
    """learning rate of new modules; of `train` only"""
    top1: float | None
    """share of clips whose class has the highest score; of `val` only"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint(Result):
    """Data of a `checkpoint` event: the run survives a worker's death from here."""

    step: int
    epoch: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine(Result):
    """Data of a `log` event."""

    message: str
