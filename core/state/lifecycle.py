"""The life cycle of a job in Redis, as atomic steps that the gateway (async) and the workers (sync) both take.

    queued ──start──▶ running ──finish──▶ succeeded | failed | cancelled ──resume──▶ queued (training only)
       │                 │ released by its worker, or its lease expired
       │                 ├──▶ queued, or cancelled if a cancel is pending, or failed after MAX_ATTEMPTS
       │                 └ waits for its children ──▶ queued after the last of them (core.state.children)
       └──cancel──▶ cancelled            (the worker of a running job is told, and finishes the job)

Every step is one Lua script of `core.state.steps`, so workers, reapers and a user who cancels can act on one job at the
same time. `core.state.transitions` says what each step does in each state. Three rules hold for all steps:

- A step that an attempt takes carries the attempt. It changes nothing if the job belongs to another attempt.
- A step can be repeated, because a client repeats a command whose reply was lost. The repetition changes nothing,
  except that a repeated report is in the stream twice.
- Times come from the clock of Redis. No host's clock decides anything.

A job is a Redis hash; values that are objects are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from core.projects import DEFAULT_PROJECT
from core.records import SCHEMA, Job
from core.state import keys
from core.state.fairness import ANYBODY, Sender, asked_by
from core.state.project_keys import ProjectKeys

LEASE_SECONDS: Final = 15.0
"""A running job whose worker has sent no heartbeat for this long is given to another worker."""

RESEND_SECONDS: Final = 6.0
"""A waiting job without a message in the broker gets a new one after this time. Each new one doubles the time. A job
that is postponed has none for up to five seconds."""

LONGEST_RESEND_SECONDS: Final = 600.0

_MOST_RESENT = 100  # jobs that one RESEND looks at

_JSON_FIELDS = ("request", "result", "error", "progress", "webhook")

SUMMARY_FIELDS: Final = tuple(name for name in Job.model_fields if name not in ("request", "result", "webhook"))
"""The fields of a job in a list."""


class Attempt(NamedTuple):
    """One start of a job. No other start has the same `holder`."""

    job_id: str
    number: int
    """1 for the first start of the job."""
    holder: str


class Standing(IntEnum):
    """What a step of a running attempt learns about its job."""

    SUPERSEDED = 0
    """The job belongs to another attempt, or has ended. The step changed nothing."""
    HELD = 1
    CANCEL_PENDING = 2
    """The job belongs to the attempt, and a user wants it to stop."""


Arguments = tuple[list[str], list[str]]
"""The KEYS and the ARGV of a script."""


def job_to_fields(job: Job) -> dict[str, str]:
    """The fields of a job's hash. Values that are None are left out."""
    data = job.model_dump(mode="json", exclude_none=True)
    fields = {name: json.dumps(value) if name in _JSON_FIELDS else str(value) for name, value in data.items()}
    return fields | {"schema": str(SCHEMA)}


def job_from_fields(fields: dict[str, str]) -> Job:
    """Raises: ValueError for a record that is damaged, or that this version cannot read."""
    values: dict[str, Any] = {
        name: json.loads(value) if name in _JSON_FIELDS else value
        for name, value in fields.items()
        if name in Job.model_fields
    }
    return Job.model_validate(values)


def create_args(
    job: Job, queue: str, limit: int, idempotency_key: str | None = None, sender: Sender = ANYBODY
) -> Arguments:
    """`idempotency_key`: the Redis key that stores the job's id for repeats of the same request."""
    fields = [part for pair in job_to_fields(job).items() for part in pair]
    script_keys = [*_job_keys(job.id, queue), ProjectKeys(job.project).jobs, *filter(None, [idempotency_key])]
    return script_keys, [job.id, str(limit), str(RESEND_SECONDS), asked_by(job.project, job.api_key), *sender, *fields]


def withdraw_args(job_id: str, queue: str, error: dict[str, Any]) -> Arguments:
    return _job_keys(job_id, queue), [job_id, json.dumps(error)]


def start_args(message: str, queue: str, holder: str, lease: float = LEASE_SECONDS) -> Arguments:
    """`message`: the id that it carries."""
    return _job_keys(message, queue), [message, holder, str(lease)]


def renew_args(attempts: Sequence[Attempt], queue: str, lease: float = LEASE_SECONDS) -> Arguments:
    script_keys = [keys.running(queue), *(keys.job(attempt.job_id) for attempt in attempts)]
    return script_keys, [str(lease), *(str(part) for attempt in attempts for part in attempt)]


def finish_args(attempt: Attempt, queue: str, state: str, field: str, value: dict[str, Any] | str) -> Arguments:
    """`value`: what the field gets; an object becomes JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return _job_keys(attempt.job_id, queue), [*map(str, attempt), state, field, text]


def cancel_args(job_id: str, queue: str, error: dict[str, Any]) -> Arguments:
    return _job_keys(job_id, queue), [job_id, json.dumps(error)]


def report_args(
    attempt: Attempt,
    queue: str,
    event: str,
    data: Any,
    progress: dict[str, Any] | None = None,
    *,
    checkpoint_saved: bool = False,
) -> Arguments:
    """`checkpoint_saved`: a checkpoint was saved, from which another worker can continue."""
    return (
        _job_keys(attempt.job_id, queue),
        [
            *map(str, attempt),
            event,
            json.dumps(data),
            json.dumps(progress) if progress else "",
            "1" if checkpoint_saved else "0",
        ],
    )


def await_args(attempt: Attempt, queue: str, children: Sequence[Job], *, tolerant: bool = False) -> Arguments:
    """`children`: jobs of the same queue and project, whose parent is the attempt's job. `tolerant`: it goes on
    whatever they come to."""
    arguments = [*map(str, attempt), "1" if tolerant else "0", str(len(children))]
    for child in children:
        fields = [part for pair in job_to_fields(child).items() for part in pair]
        arguments += [child.id, str(len(fields)), *fields]
    listed = ProjectKeys(children[0].project if children else DEFAULT_PROJECT).jobs
    return [*_job_keys(attempt.job_id, queue), listed], arguments


def forget_args(job_ids: Sequence[str]) -> Arguments:
    return [keys.FINISHED, ProjectKeys().jobs, keys.PAYLOADS], [keys.job(""), *job_ids]


def release_args(attempt: Attempt, queue: str, *, counts_as_failure: bool) -> Arguments:
    return (
        _job_keys(attempt.job_id, queue),
        [*map(str, attempt), "0" if counts_as_failure else "1", str(RESEND_SECONDS)],
    )


def expire_args(job_id: str, queue: str, died: str | None = None) -> Arguments:
    """`died`: the name of a process that is dead; the holders that it made begin with it."""
    return _job_keys(job_id, queue), [job_id, died or ""]


def resume_args(job_id: str, queue: str) -> Arguments:
    return _job_keys(job_id, queue), [job_id, str(RESEND_SECONDS)]


def claim_version_args(
    attempt: Attempt, queue: str, name: str, highest: int, taken: int = 0, project: str = DEFAULT_PROJECT
) -> Arguments:
    script_keys = [*_job_keys(attempt.job_id, queue), ProjectKeys(project).model_versions]
    return script_keys, [*map(str, attempt), name, str(highest), str(taken)]


def resend_args(queue: str, *, everything: bool = False) -> Arguments:
    """`everything`: look at all waiting jobs, and not only at those whose time has come."""
    return (
        [keys.waiting(queue), keys.resend(queue), queue],
        [
            keys.job(""),
            str(RESEND_SECONDS),
            str(LONGEST_RESEND_SECONDS),
            str(_MOST_RESENT),
            "+inf" if everything else "",
        ],
    )


def _job_keys(job_id: str, queue: str) -> list[str]:
    """The keys that every step of one job gets first."""
    return [
        keys.job(job_id),
        keys.waiting(queue),
        keys.running(queue),
        keys.resend(queue),
        keys.events(job_id),
        keys.metrics(job_id),
        keys.FINISHED,
    ]
