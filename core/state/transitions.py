"""The state machine of a job as a table: what each step of `core.state.steps` does in each state.

`docs/architecture.md` shows this table, and the tests hold the steps to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Condition(StrEnum):
    """The state of a job, and whether its worker has been asked to stop."""

    ABSENT = "no record"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "running, cancel pending"
    AWAITING = "running, waits for children"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Step(StrEnum):
    CREATE = "create"
    WITHDRAW = "withdraw"
    START = "start"
    REPORT = "report"
    RENEW = "renew the lease"
    CLAIM_VERSION = "claim a version"
    AWAIT = "wait for children"
    CHILD_ENDS = "enough children have ended"
    SUCCEED = "succeed"
    FAIL = "fail"
    STOP = "stop"
    RELEASE = "give back"
    EXPIRE = "lease expires"
    CANCEL = "cancel"
    RESUME = "resume"
    RESEND = "message is lost"
    DELETE = "delete"


OF_AN_ATTEMPT: Final = frozenset(
    {Step.REPORT, Step.RENEW, Step.CLAIM_VERSION, Step.AWAIT, Step.SUCCEED, Step.FAIL, Step.STOP, Step.RELEASE}
)
"""The steps that carry an attempt. They change nothing if the job belongs to another attempt."""

TAKEN_BY: Final[Mapping[Step, str]] = {
    Step.CREATE: "the gateway, for a request",
    Step.WITHDRAW: "the gateway, where it cannot send the message",
    Step.START: "a worker, for a message",
    Step.REPORT: "the attempt",
    Step.RENEW: "the attempt's heartbeat",
    Step.CLAIM_VERSION: "the attempt, before it publishes a model",
    Step.AWAIT: "the attempt of a protocol or a batch, which makes them",
    Step.CHILD_ENDS: "whoever ends the child",
    Step.SUCCEED: "the attempt",
    Step.FAIL: "the attempt, after an error",
    Step.STOP: "the attempt, after a cancel",
    Step.RELEASE: "the attempt, where its worker stops or its child died",
    Step.EXPIRE: "a reaper",
    Step.CANCEL: "a user",
    Step.RESUME: "a user (training only)",
    Step.RESEND: "a reaper",
    Step.DELETE: "the sweeper, after `VIREO_JOB_TTL`",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What a step does in one state. `to`: the states that the job may be in afterwards."""

    does: str
    to: frozenset[Condition]


def _to(does: str, *conditions: Condition) -> Cell:
    return Cell(does, frozenset(conditions))


_C = Condition

_CHANGES: Final[Mapping[Step, Mapping[Condition, Cell]]] = {
    Step.CREATE: {_C.ABSENT: _to("the job waits, and its message is sent", _C.QUEUED)},
    Step.WITHDRAW: {_C.QUEUED: _to("the request is answered 503", _C.FAILED)},
    Step.START: {_C.QUEUED: _to("a new attempt gets a lease", _C.RUNNING)},
    Step.REPORT: {
        _C.RUNNING: _to("recorded", _C.RUNNING),
        _C.STOPPING: _to("recorded; the attempt is told to stop", _C.STOPPING),
    },
    Step.RENEW: {
        _C.RUNNING: _to("extended", _C.RUNNING),
        _C.STOPPING: _to("extended; the attempt is told to stop", _C.STOPPING),
    },
    Step.CLAIM_VERSION: {
        _C.RUNNING: _to("the job gets its version, once", _C.RUNNING),
        _C.STOPPING: _to("the job gets its version, once", _C.STOPPING),
    },
    Step.AWAIT: {
        _C.RUNNING: _to("its children wait; it belongs to no attempt until they have ended", _C.AWAITING),
        _C.STOPPING: _to("none is made; the attempt is told to stop", _C.STOPPING),
    },
    Step.CHILD_ENDS: {_C.AWAITING: _to("the job waits again; it ends if a cancel is pending", _C.QUEUED, _C.CANCELLED)},
    Step.SUCCEED: {
        _C.RUNNING: _to("the result is stored", _C.SUCCEEDED),
        _C.STOPPING: _to("the result is stored: it was ready before the cancel", _C.SUCCEEDED),
    },
    Step.FAIL: {
        _C.RUNNING: _to("the error is stored", _C.FAILED),
        _C.STOPPING: _to("the error is stored", _C.FAILED),
    },
    Step.STOP: {
        _C.RUNNING: _to("the job ends", _C.CANCELLED),
        _C.STOPPING: _to("the job ends", _C.CANCELLED),
    },
    Step.RELEASE: {
        _C.RUNNING: _to("the job waits again; it fails at its third failure in a row", _C.QUEUED, _C.FAILED),
        _C.STOPPING: _to("the job ends", _C.CANCELLED),
    },
    Step.EXPIRE: {
        _C.RUNNING: _to("the job waits again; it fails at its third failure in a row", _C.QUEUED, _C.FAILED),
        _C.STOPPING: _to("the job ends", _C.CANCELLED),
    },
    Step.CANCEL: {
        _C.QUEUED: _to("the job ends", _C.CANCELLED),
        _C.RUNNING: _to("its worker is told", _C.STOPPING),
        _C.STOPPING: _to("its worker is told again", _C.STOPPING),
        _C.AWAITING: _to("its children are cancelled; it ends with the last of them", _C.AWAITING, _C.CANCELLED),
    },
    Step.RESUME: {
        _C.FAILED: _to("the job waits again; its failures count anew", _C.QUEUED),
        _C.CANCELLED: _to("the job waits again; its failures count anew", _C.QUEUED),
    },
    Step.RESEND: {_C.QUEUED: _to("the message is sent again, after a growing time", _C.QUEUED)},
    Step.DELETE: {
        _C.SUCCEEDED: _to("record, events and metrics are deleted", _C.ABSENT),
        _C.FAILED: _to("record, events and metrics are deleted", _C.ABSENT),
        _C.CANCELLED: _to("record, events and metrics are deleted", _C.ABSENT),
    },
}

TABLE: Final[Mapping[Step, Mapping[Condition, Cell]]] = {
    step: {state: changes.get(state, _to("nothing", state)) for state in Condition}
    for step, changes in _CHANGES.items()
}
