"""Jobs: what is asked, how far the work is, and who is told of the end."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from core.projects import DEFAULT_PROJECT
from core.records.base import Record


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


JobKind = Literal[
    "classification",
    "embedding",
    "explanation",
    "frames",
    "search",
    "indexing",
    "label_check",
    "batch",
    "training",
    "preview",
    "evaluation",
    "comparison",
    "calibration",
    "dataset",
    "import",
]

_EARLIER_KINDS = {"classify": "classification", "embed": "embedding"}
AcceptedJobKind = Annotated[
    JobKind, BeforeValidator(lambda kind: _EARLIER_KINDS.get(kind, kind) if isinstance(kind, str) else kind)
]
"""A kind in a record or in a request, which may have the name of an earlier version."""


class Delivery(Record):
    """One attempt to send a webhook."""

    at: float = Field(description="unix seconds")
    seconds: float = Field(description="until the answer, or until it was given up")
    status: int | None = Field(None, description="of the answer; null without one")
    error: str | None = Field(None, description="why it counts as failed; null for a success")


class Webhook(Record):
    """Where the end of a job is announced, and how that went."""

    url: str = Field(description="without its query in answers, because that may be secret")
    state: Literal["pending", "delivered", "failed"] = Field(
        "pending", description="`failed`: the last attempt has failed, or the server answered 410"
    )
    next_at: float | None = Field(None, description="unix seconds of the next attempt, once one has failed")
    deliveries: tuple[Delivery, ...] = Field((), description="all attempts, the earliest first")


class Job(Record):
    """One piece of work for a worker: its `request`, and the `result` or `error` that the worker wrote."""

    id: str
    kind: AcceptedJobKind
    state: JobState = JobState.QUEUED
    project: str = Field(DEFAULT_PROJECT, description="the project that the job and what it makes belong to")
    api_key: str | None = Field(None, description="id of the API key that asked; what the job takes is counted for it")
    subject: str | None = Field(None, description="the model or dataset that the job makes or uses, if it names one")
    parent: str | None = Field(None, description="id of the job that made this one as a part of its work")
    request_id: str | None = Field(None, description="the id of the HTTP request that made the job, for the logs")
    traceparent: str | None = Field(None, description="the span that the job belongs under (W3C), where it is traced")
    request: dict[str, Any] = Field(default_factory=dict)
    request_key: str | None = Field(None, description="key in the store of a request that is too large for the record")
    result: dict[str, Any] | None = None
    result_key: str | None = Field(None, description="key in the store of a result that is too large for the record")
    error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = Field(None, description="progress of a long job")
    webhook: Webhook | None = Field(None, description="where its end is announced")
    attempts: int = Field(0, description="number of starts; above 1 after a worker died, or the job was put back")
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def waited(self) -> float:
        """Seconds from its creation to its last start."""
        return self.started_at - self.created_at if self.started_at is not None else 0.0


Phase = Literal["preparing", "features", "preview", "training", "evaluating", "publishing", "runs", "videos"]


class Progress(Record):
    """Progress of a long job, in `GET /v1/jobs/{id}` and, once per step, in the event stream. In the phase `runs` a
    protocol waits for its training jobs, in `videos` a batch for its questions: `step` counts those that have ended, of
    `steps`."""

    phase: Phase = Field(description="stage of the run")
    epoch: float = Field(0.0, description="epochs done")
    epochs: float | None = Field(None, description="epochs in all")
    step: int = Field(0, description="optimiser steps done")
    steps: int | None = Field(None, description="optimiser steps in all")
    loss: float | None = Field(None, description="training loss of the last step")
    lr: float | None = Field(None, description="learning rate of new modules")
    samples_per_s: float | None = Field(None, description="clips trained on per second")
    eta_s: float | None = Field(None, description="seconds left")
    failed: int | None = Field(None, description="videos of a batch that have an error")


def subject_of(request: dict[str, Any]) -> str | None:
    """The subject of a job, as far as its request tells."""
    question = request.get("question") or {}
    names = (request.get("name"), request.get("model"), question.get("model"), request.get("dataset"))
    return next((str(name) for name in names if name), None)


def new_job_id() -> str:
    return f"job_{secrets.token_hex(12)}"
