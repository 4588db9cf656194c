"""Jobs: work on the server that takes long, and questions whose answer is awaited.

Rendered from vireo/asynchronous by docs/render.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

import httpx2

from vireo.answers import read_answer
from vireo.synchronous.clock import shielded, sleep
from vireo.synchronous.connection import Connection, ResultT
from vireo.calls import Call, post, quoted
from vireo.errors import ConnectionFailed, InvalidRequest, Overloaded, VireoError
from vireo.events import FINAL_STATES, Event
from vireo.results import RESULTS
from vireo.schema.jobs import JobProgress, JobView

POLL_SECONDS = 0.5
RECONNECT_SECONDS = 60.0
"""How long a broken event stream is opened again before giving up."""

_CONNECTED_AFTER = 10.0  # seconds: an attempt that took longer than the connect time-out was a connection that broke
_EVENT_TIMEOUT = 40.0  # the server sends a comment after every 15 seconds of silence
_CANCEL_TIMEOUT = 5.0

AnswerT = TypeVar("AnswerT")


class Job(Generic[AnswerT]):
    """Work on the server. `view` is the job as it was when the server was last asked."""

    def __init__(self, connection: Connection, raw: Any) -> None:
        self._connection = connection
        self.view = JobView.read(raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.kind} {self.state}>"

    @classmethod
    def listed(
        cls, connection: Connection, *, kind: str | None, state: str | None = None, limit: int | None = None
    ) -> Iterator[Self]:
        """Jobs, the newest first, without their requests and results. Raises: VireoError."""
        for view in connection.pages("/v1/jobs", JobView, limit=limit, kind=kind, state=state):
            yield cls(connection, view.raw)

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON of the job."""
        return self.view.raw

    @property
    def id(self) -> str:
        """`job_…`"""
        return self.view.id

    @property
    def kind(self) -> str:
        """What it does: `training`, `dataset`, `batch`, …"""
        return self.view.kind

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self.view.state

    @property
    def progress(self) -> JobProgress | None:
        """How far it is."""
        return self.view.progress

    @property
    def error(self) -> VireoError | None:
        """Why it failed."""
        return VireoError.from_dict(self.view.error.raw) if self.view.error else None

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.state in FINAL_STATES

    def refresh(self) -> Self:
        """Ask the server how the job is now. Raises: VireoError."""
        self.view = JobView.read(self._connection.get(f"/v1/jobs/{quoted(self.id)}"))
        return self

    def cancel(self) -> Self:
        """Stop it; a running job ends a moment later. Raises: VireoError."""
        self.view = JobView.read(self._connection.json(post(f"/v1/jobs/{quoted(self.id)}/cancel", harmless=True)))
        return self

    def resume(self) -> Self:
        """Continue a failed or cancelled run of training from its last checkpoint. Raises: VireoError."""
        self.view = JobView.read(self._connection.json(post(f"/v1/training-jobs/{quoted(self.id)}/resume")))
        return self

    def result(self) -> AnswerT:
        """Wait until it ends, and return its result. Raises: VireoError, including the job's own error."""
        for _ in self.follow():
            pass
        self.refresh()
        if error := self.error:
            error.job = self.id
            raise error
        kind = RESULTS.get(self.kind)
        return cast(AnswerT, kind.read(self.view.result) if kind else self.view.result)

    def follow(self, after: str | None = None) -> Iterator[Event]:
        """Its events until it ends: from the first one, or from the one that follows the event id `after`.

        A broken connection is opened again, and no event is missed. Raises: VireoError if the job does not exist, or
        the server does not answer for a minute.
        """
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            ended, began = False, time.monotonic()
            try:
                for event in self._stream(after):
                    after, ended = event.id, event.is_final
                    yield event
            except (ConnectionFailed, Overloaded):
                now = time.monotonic()
                if now - began > _CONNECTED_AFTER:
                    deadline = now + RECONNECT_SECONDS
                elif now > deadline:
                    raise
            if ended or (after is not None and self._is_over()):
                return
            sleep(POLL_SECONDS)

    def _stream(self, after: str | None) -> Iterator[Event]:
        headers = {"last-event-id": after} if after else {}
        call = Call("GET", f"/v1/jobs/{quoted(self.id)}/events", headers=headers, timeout=_EVENT_TIMEOUT)
        with self._connection.stream(call) as answer:
            if answer.status_code == 200:
                for sent in httpx2.EventSource(answer, None):
                    if sent.data:
                        yield Event(sent.id, sent.event, sent.json())

    def _is_over(self) -> bool:
        try:
            return (self.refresh()).has_ended
        except ConnectionFailed:
            return False


class Jobs:
    """The jobs of a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self, *, kind: str | None = None, state: str | None = None, limit: int | None = None
    ) -> Iterator[Job[Any]]:
        """Jobs, the newest first, without their requests and results. Raises: VireoError."""
        return Job.listed(self._connection, kind=kind, state=state, limit=limit)

    def get(self, job_id: str) -> Job[Any]:
        """A job with its request, and its result or error. Raises: UnknownJob; VireoError."""
        return Job(self._connection, self._connection.get(f"/v1/jobs/{quoted(job_id)}"))

    def cancel(self, job_id: str) -> Job[Any]:
        """Stop a job. Raises: VireoError."""
        call = post(f"/v1/jobs/{quoted(job_id)}/cancel", harmless=True)
        return Job(self._connection, self._connection.json(call))

    def resume(self, job_id: str) -> Job[Any]:
        """Continue a failed or cancelled run of training from its last checkpoint. Raises: VireoError."""
        call = post(f"/v1/training-jobs/{quoted(job_id)}/resume")
        return Job(self._connection, self._connection.json(call))

    def save(self, url: str, target: str | Path) -> None:
        """Write a picture of a result into a file; `url` is its path, as the result has it. Raises: VireoError."""
        self._connection.download(url, Path(target))


def start(connection: Connection, call: Call, key: str | None = None) -> Job[Any]:
    """The job that a request makes. Raises: VireoError."""
    return Job(connection, connection.json(call.keyed(key)))


def ask(connection: Connection, call: Call, kind: type[ResultT], key: str | None = None) -> ResultT:
    """The answer to a question, however long its job takes. The job is cancelled if the wait for it is interrupted.
    Raises: VireoError."""
    request_id = f"req_{secrets.token_hex(8)}"
    call = replace(call, headers=call.headers | {"x-request-id": request_id}).keyed(key)
    try:
        return kind.read(_answer(connection, call))
    except Exception:
        raise
    except BaseException:  # Ctrl-C, or a cancelled task: a key keeps the server from cancelling the job by itself
        with shielded(_CANCEL_TIMEOUT):
            _cancel(connection, request_id)
        raise


def _answer(connection: Connection, call: Call) -> dict[str, Any]:
    answer = connection.answer(call)
    body = read_answer(answer)
    if answer.status_code == 202:
        job = Job[Any](connection, body)
        while not job.has_ended:
            sleep(POLL_SECONDS)
            job.refresh()
        if error := job.error:
            error.job, error.answered = job.id, error.status
            raise error
        body = job.view.result
    if not isinstance(body, dict):
        raise InvalidRequest(f"{connection.url} gave no answer to a question. Is it Vireo?")
    return body


def _cancel(connection: Connection, request_id: str) -> None:
    """Cancel the job that a request has made, if it is still there."""
    with suppress(VireoError):
        newest = Call("GET", "/v1/jobs", {"limit": 100}, timeout=_CANCEL_TIMEOUT)
        for job in (connection.json(newest))["data"]:
            if job.get("request_id") == request_id and job["state"] not in FINAL_STATES:
                connection.json(post(f"/v1/jobs/{quoted(job['id'])}/cancel", timeout=_CANCEL_TIMEOUT))
