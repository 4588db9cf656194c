"""Submits a request as a job: creates the job, sends it to its queue, waits for it, and answers.

All kinds of jobs are submitted here. What differs between them is declared in `POLICIES`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from core.datasets import archive_key
from core.errors import VireoError
from core.logs.belonging import JOB_ID
from core.records import Job, JobKind, JobState
from core.storage import Staged, Store
from core.uploads.sink import Upload
from service.http.envelope import client_gone, error_response
from service.http.preferences import Preferences
from service.jobs.repository import Jobs
from service.jobs.server_timing import server_timing
from service.jobs.waiter import Waiter

log = logging.getLogger(__name__)

STOPPING_GRACE = 1.0  # seconds that a stopping server waits for answers that are nearly ready
RETRY_AFTER = 1  # seconds, suggested to clients that poll a job


@dataclass(frozen=True, slots=True)
class Policy:
    """How requests of one kind are answered."""

    answers_with_result: bool
    """The body of the answer is the result of the job. Otherwise it is the job itself."""

    waits_by_default: bool
    """Without `Prefer: wait=N` the request waits for the server's deadline. Otherwise it does not wait."""

    cancelled_on_disconnect: bool
    """A client that disconnects cancels the job, unless it sent an `Idempotency-Key` to ask for the job again."""


QUESTION: Final = Policy(answers_with_result=True, waits_by_default=True, cancelled_on_disconnect=True)
BACKGROUND: Final = Policy(answers_with_result=False, waits_by_default=False, cancelled_on_disconnect=False)

POLICIES: Final[dict[JobKind, Policy]] = {
    "classification": QUESTION,
    "embedding": QUESTION,
    "explanation": QUESTION,
    "frames": QUESTION,
    "search": QUESTION,
    "indexing": BACKGROUND,
    "label_check": QUESTION,
    "batch": BACKGROUND,
    "training": BACKGROUND,
    "preview": BACKGROUND,
    "evaluation": BACKGROUND,
    "comparison": QUESTION,
    "calibration": BACKGROUND,
    "dataset": BACKGROUND,
    "import": BACKGROUND,
}


class Submitter:
    def __init__(
        self,
        jobs: Jobs,
        waiter: Waiter,
        store: Store,
        stopping: asyncio.Event,
        deadline: float,
        drop_video: Callable[[str], Awaitable[None]],
    ) -> None:
        """`deadline`: longest wait of a request, in seconds. `drop_video`: deletes the video with this sha256 if it may
        be deleted; called after a question about it has failed."""
        self._jobs = jobs
        self._waiter = waiter
        self._store = store
        self._stopping = stopping
        self._deadline = deadline
        self._drop_video = drop_video

    async def check_room(self, kind: JobKind, preferences: Preferences) -> None:
        """Check before an upload that its job can be created. A repeated request needs no room. Raises: QueueFull."""
        if not await self._jobs.is_known(preferences.idempotency_key):
            await self._jobs.check_room(kind)

    async def submit(
        self,
        kind: JobKind,
        request: BaseModel,
        preferences: Preferences,
        connection: Request,
        *,
        as_requested: BaseModel | None = None,
        children: int = 0,
        manifest: Staged | None = None,
    ) -> Response:
        """The answer to a request for a job of `kind`.

        `connection`: the HTTP request, which is watched for a disconnect while the answer waits. `as_requested`,
        `children`, `manifest`: as in `Jobs.create`. Raises: QueueFull, Conflict, StorageUnavailable.
        """
        key, webhook = preferences.idempotency_key, preferences.webhook
        job, new = await self._jobs.create(kind, request, key, as_requested, children, webhook, manifest)
        return await self._follow(job, new, preferences, connection)

    async def submit_upload(
        self,
        kind: JobKind,
        upload: Upload,
        request_for: Callable[[str], BaseModel],
        preferences: Preferences,
        connection: Request,
    ) -> Response:
        """Like `submit`, for a job that reads a file. `request_for`: the request for the file's key in the store.

        Every upload gets a key of its own, because the worker that reads it deletes it. Repeats are recognised by the
        file's content. A file that no job owns is deleted here, or by the sweeper. Raises: InvalidRequest without a
        file; the same as `submit`.
        """
        if upload.staged is None:
            raise upload.kind.missing()
        sha256 = upload.staged.sha256
        key = archive_key(f"{sha256}-{secrets.token_hex(6)}")
        await asyncio.to_thread(self._store.publish, upload.staged, key)
        as_requested = request_for(archive_key(sha256))
        return await self._submit_file(kind, key, request_for(key), as_requested, preferences, connection)

    async def submit_text(
        self,
        kind: JobKind,
        text: str,
        request_for: Callable[[str], BaseModel],
        as_requested: BaseModel,
        preferences: Preferences,
        connection: Request,
    ) -> Response:
        """Like `submit_upload`, for a file that the gateway writes itself. `as_requested`: as in `Jobs.create`."""
        key = archive_key(f"{hashlib.sha256(text.encode()).hexdigest()}-{secrets.token_hex(6)}")
        await asyncio.to_thread(self._store.write_text, key, text)
        return await self._submit_file(kind, key, request_for(key), as_requested, preferences, connection)

    async def _submit_file(
        self,
        kind: JobKind,
        key: str,
        request: BaseModel,
        as_requested: BaseModel,
        preferences: Preferences,
        connection: Request,
    ) -> Response:
        try:
            job, new = await self._jobs.create(
                kind, request, preferences.idempotency_key, as_requested, webhook=preferences.webhook
            )
        except VireoError:
            await asyncio.to_thread(self._store.delete, key)
            raise
        if not new:
            await asyncio.to_thread(self._store.delete, key)
        return await self._follow(job, new, preferences, connection)

    async def _follow(self, job: Job, new: bool, preferences: Preferences, connection: Request) -> Response:
        """Send the job if it is new, wait for it, and answer."""
        policy = POLICIES[job.kind]
        JOB_ID.set(job.id)
        with self._waiter.expect(job.id) as done:
            if new:
                await self._jobs.send(job)
            else:
                job = await self._jobs.get(job.id)  # it may have ended before it was awaited
            seconds = self._patience(policy, preferences)
            if seconds and not job.state.final:
                disconnected = await self._wait(done, connection, seconds)
                if disconnected and policy.cancelled_on_disconnect:
                    return await self._abandon(job, preferences)
            if not job.state.final:
                job = await self._jobs.get(job.id)
        if job.state.final and not preferences.respond_async:
            if job.state is not JobState.SUCCEEDED and (seconds or policy.answers_with_result):
                return await self._failure(job)
            if policy.answers_with_result and job.result is not None:
                return _as_json(to_json(job.result, inf_nan_mode="null"), 200, server_timing(job.result))
        return await self._accepted(job, policy, preferences)

    def _patience(self, policy: Policy, preferences: Preferences) -> float:
        """Seconds to wait for the job."""
        if preferences.respond_async:
            return 0.0
        if preferences.wait is not None:
            return min(preferences.wait, self._deadline)
        return self._deadline if policy.waits_by_default else 0.0

    async def _wait(self, done: asyncio.Future[None], connection: Request, seconds: float) -> bool:
        """Wait until the job ends, the client disconnects, the server stops, or the time is up. Returns whether the
        client disconnected first."""
        gone: asyncio.Task[Any] = asyncio.create_task(_disconnected(connection))
        stopping: asyncio.Task[Any] = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({done, gone, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                await asyncio.wait({done, gone}, timeout=STOPPING_GRACE, return_when=asyncio.FIRST_COMPLETED)
            return gone.done() and not done.done()
        finally:
            for task in (gone, stopping):
                task.cancel()
            await asyncio.gather(gone, stopping, return_exceptions=True)

    async def _abandon(self, job: Job, preferences: Preferences) -> Response:
        """Cancel a job whose answer nobody would read, unless the client can ask for it again."""
        if preferences.idempotency_key is None:
            with suppress(RedisError):
                await self._jobs.cancel(job)
                log.info("%s is cancelled: the client disconnected", job.id)
        return client_gone()

    async def _failure(self, job: Job) -> Response:
        """The error of a job that has ended without a result: the same answer on every route. `Location` is the job."""
        if sha256 := job.request.get("sha256"):
            await self._drop_video(sha256)  # the worker may have found it unusable: then it need not stay on disk
        return error_response(VireoError.from_dict(job.error or {}), {"Location": f"/v1/jobs/{job.id}"})

    async def _accepted(self, job: Job, policy: Policy, preferences: Preferences) -> Response:
        """The job, and its URL. 200 if the client waited for it to end, else 202."""
        view = await self._jobs.view(job)
        waited = bool(preferences.wait) and job.state.final and not policy.answers_with_result
        headers = {"Location": view.links.self, "Retry-After": str(RETRY_AFTER)}
        if preferences.respond_async:
            headers["Preference-Applied"] = "respond-async"
        return _as_json(view.model_dump_json(), 200 if waited else 202, headers)


async def _disconnected(connection: Request) -> None:
    while (await connection.receive())["type"] != "http.disconnect":
        pass


def _as_json(text: str | bytes, status: int, headers: dict[str, str]) -> Response:
    """Written by pydantic: `json.dumps` would take twelve times as long for vectors, in the event loop."""
    return Response(text, status, headers, "application/json")
