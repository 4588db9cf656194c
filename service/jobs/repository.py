"""Jobs in Redis: created, sent to the queue of their kind, looked up, listed, cancelled, resumed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from core.errors import Cancelled, Conflict, QueueFull, RequestTooLarge, StorageUnavailable, UnknownJob
from core.logs.belonging import KEY_ID, REQUEST_ID
from core.projects import DEFAULT_PROJECT
from core.records import Job, JobKind, JobState, Webhook, new_job_id, subject_of
from core.state import keys, lifecycle, steps
from core.state.fairness import CHECK_ROOM, asked_by, check_room_args
from core.state.fullness import is_refusal, redis_full
from core.state.payloads import CLAIM_SECONDS, Payloads
from core.state.project_keys import ProjectKeys
from core.state.queues import QUEUES
from core.storage import Staged
from core.tracing.spans import current_traceparent
from service.bodies.cursors import Entry, read_cursor, write_cursor
from service.bodies.schemas import JobPage, JobView
from service.bodies.validation import similar_names
from service.http.senders import SENDER
from service.jobs.sender import Sender
from service.jobs.views import job_summary, job_view
from service.jobs.webhooks import start_again, watch
from service.ops.workers import Workers, why_waiting

log = logging.getLogger(__name__)

_SCAN = 200  # jobs read at once to fill a page
_MOST_SCANNED = 10_000  # most jobs read for one page of a filtered list
_REQUEST_DIGEST = "meant"  # field of a job's hash: digest of the request that its idempotency key stands for


@dataclass(frozen=True, slots=True)
class Filters:
    state: JobState | None = None
    kind: JobKind | None = None

    def accept(self, job: Job) -> bool:
        return self.state in (None, job.state) and self.kind in (None, job.kind)


class Jobs:
    """Those of one project: of the default one, if `of` is not asked for another."""

    def __init__(
        self, redis: Redis, sender: Sender, workers: Workers, payloads: Payloads, limit: int, max_request_bytes: int
    ) -> None:
        """`limit`: most unfinished jobs of one queue. Every method raises RedisError while Redis cannot be reached."""
        self._redis = redis
        self._own = ProjectKeys(DEFAULT_PROJECT)
        self._payloads = payloads
        self._max_request_bytes = max_request_bytes
        self.refused = asyncio.Event()  # Redis was too full for new work; the sweeper waits for it
        self._sender = sender
        self._workers = workers
        self._limit = limit
        self._create = redis.register_script(steps.CREATE)
        self._check_room = redis.register_script(CHECK_ROOM)
        self._withdraw = redis.register_script(steps.WITHDRAW)
        self._cancel = redis.register_script(steps.CANCEL)
        self._resume = redis.register_script(steps.RESUME)

    def of(self, project: str) -> Jobs:
        """The jobs of a project. Others are unknown to it."""
        view = copy(self)
        view._own = ProjectKeys(project)
        return view

    async def create(
        self,
        kind: JobKind,
        request: BaseModel,
        key: str | None = None,
        as_requested: BaseModel | None = None,
        children: int = 0,
        webhook: str | None = None,
        manifest: Staged | None = None,
    ) -> tuple[Job, bool]:
        """A new job, or the job that the idempotency `key` stands for already; and whether it is new.

        `as_requested`: the request before the names in it were resolved. Repeats are recognised by it, because a name
        may mean a newer version by then. `children`: jobs that it will make, for which there must be room as well; the
        queue must be empty for more than it can hold. `webhook`: the URL to which its end is announced. `manifest`: a
        file that belongs to the job. Raises: QueueFull; RequestTooLarge; StorageUnavailable where Redis is full or the
        store cannot be written; Conflict where the key stands for another request.
        """
        fields = request.model_dump(mode="json")
        job = Job(
            id=new_job_id(),
            kind=kind,
            project=self._own.project,
            subject=subject_of(fields),
            api_key=KEY_ID.get(),
            request_id=REQUEST_ID.get(),
            traceparent=current_traceparent(),
            request=fields,
            webhook=Webhook(url=webhook) if webhook else None,
            created_at=time.time(),
        )
        digest = _digest(kind, as_requested or request)
        try:
            recorded = await self._store_request(job)
            if manifest:
                await self._claim(job)
                await asyncio.to_thread(self._payloads.write_manifest, job.id, manifest)
            room = max(1, self._limit - children)
            script_keys, args = lifecycle.create_args(recorded, QUEUES[kind], room, self._held_by(key), SENDER.get())
            outcome = await self._create(keys=script_keys, args=[*args, _REQUEST_DIGEST, digest] if key else args)
        except ResponseError as error:
            if not is_refusal(error):
                raise
            self.refused.set()
            raise redis_full() from error
        match outcome:
            case ["full", seconds]:
                raise _queue_full(self._limit, seconds)
            case ["created", created_at]:
                if webhook:
                    await watch(self._redis, job.id)
                return job.model_copy(update={"created_at": float(created_at)}), True
        earlier = await self.get(outcome[1])
        if await self._redis.hget(keys.job(earlier.id), _REQUEST_DIGEST) != digest:
            raise Conflict(
                "This Idempotency-Key was already used for another request.", hint="Use a new key.", job=earlier.id
            )
        return earlier, False

    async def _store_request(self, job: Job) -> Job:
        """The job as its record has it: with a large request in the store, which is swept if no record follows."""
        text = json.dumps(job.request)
        if len(text) > self._max_request_bytes:
            raise RequestTooLarge(
                f"The request has {len(text)} bytes; at most {self._max_request_bytes} are allowed.",
                hint="Split it over several requests, or raise VIREO_MAX_JOB_REQUEST_BYTES.",
                limit=self._max_request_bytes,
            )
        if not self._payloads.is_large(text):
            return job
        await self._claim(job)
        written = await asyncio.to_thread(self._payloads.write, job.id, "request", text)
        return job.model_copy(update={"request": {}, written.field: written.text})

    async def _claim(self, job: Job) -> None:
        """Announce files of a job, which are swept if no record follows."""
        await self._redis.zadd(keys.PAYLOADS, {job.id: (await self._redis.time())[0] + CLAIM_SECONDS})

    async def send(self, job: Job) -> None:
        """Put the job on its queue. Raises: StorageUnavailable; then the job has failed and its idempotency key can be
        used again."""
        try:
            await self._sender.send(job)
        except StorageUnavailable as error:
            with contextlib.suppress(RedisError):  # without Redis, the reaper finds the job once Redis is back
                if not await self._withdraw_job(job, error):
                    return  # a worker has started the job, so the message was sent
            raise

    async def _withdraw_job(self, job: Job, error: StorageUnavailable) -> bool:
        """Fail a job that no worker has started. Returns False if one has."""
        script_keys, args = lifecycle.withdraw_args(job.id, QUEUES[job.kind], error.to_dict())
        return bool(await self._withdraw(keys=script_keys, args=args))

    def _held_by(self, key: str | None) -> str | None:
        """What an idempotency key is named in Redis. Two projects may use the same one."""
        return None if key is None else self._own.idempotency(hashlib.sha256(key.encode()).hexdigest())

    async def is_known(self, key: str | None) -> bool:
        held_by = self._held_by(key)
        return held_by is not None and bool(await self._redis.exists(held_by))

    async def check_room(self, kind: JobKind) -> None:
        """Raises: QueueFull. `create` checks again; this check comes before an upload."""
        asker = asked_by(self._own.project, KEY_ID.get())
        script_keys, args = check_room_args(asker, QUEUES[kind], self._limit, SENDER.get())
        if seconds := int(await self._check_room(keys=script_keys, args=args)):
            raise _queue_full(self._limit, seconds)

    async def get(self, job_id: str, kind: JobKind | None = None) -> Job:
        """A job with its request and its result. `kind`: the kind that the job must have. Raises: UnknownJob;
        StorageUnavailable where a large request or result cannot be read."""
        return await self._load(await self.record(job_id, kind))

    async def record(self, job_id: str, kind: JobKind | None = None) -> Job:
        """A job without a request or result that is in the store. Raises: UnknownJob."""
        fields = cast(dict[str, str], await self._redis.hgetall(keys.job(job_id)))
        job = self._read(fields)
        if job is None or kind not in (None, job.kind):
            known = cast(list[str], await self._redis.zrevrange(self._own.jobs, 0, 999))
            raise UnknownJob(
                f"There is no {f'{kind} ' if kind else ''}job {job_id[:80]!r}.",
                hint=f"It is a job of kind {job.kind}: see /v1/jobs/{job.id}."
                if job
                else "Finished jobs are deleted after VIREO_JOB_TTL seconds, answers after VIREO_ANSWER_TTL seconds.",
                nearest=similar_names(job_id, known, 80),
            )
        return job

    async def _load(self, job: Job) -> Job:
        return await asyncio.to_thread(self._payloads.load, job) if job.request_key or job.result_key else job

    async def ids(self, until: float) -> list[str]:
        """Of the jobs that were made by this unix time, the oldest first."""
        return cast(list[str], await self._redis.zrangebyscore(self._own.jobs, "-inf", until))

    async def unfinished(self, queue: str) -> list[Job]:
        """Jobs of a queue that wait or run. Raises: StorageUnavailable where a large request cannot be read."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in (keys.waiting(queue), keys.running(queue)):
                pipe.zrange(name, 0, -1)
            waiting, running = await pipe.execute()
        return [await self._load(job) for job in await self._fetch([*waiting, *running]) if job]

    async def cancel(self, job: Job) -> str | None:
        """The state that the job was in: queued (it has ended now), running (its worker is told), or a final state."""
        error = Cancelled("The job was cancelled before it started.").to_dict()
        script_keys, args = lifecycle.cancel_args(job.id, QUEUES[job.kind], error)
        state: str | None = await self._cancel(keys=script_keys, args=args)
        return state

    async def resume(self, job: Job) -> Job:
        """Queue a cancelled or failed training run again. It continues from its last checkpoint.

        Raises: Conflict for a run in another state, UnknownJob, StorageUnavailable.
        """
        script_keys, args = lifecycle.resume_args(job.id, QUEUES[job.kind])
        state = await self._resume(keys=script_keys, args=args)
        resumed = await self.get(job.id)
        if state not in (JobState.CANCELLED, JobState.FAILED):
            raise Conflict(f"Only a cancelled or failed run can be resumed; this one is {state}.", state=state)
        if resumed.webhook:  # its next end is announced as well
            await start_again(self._redis, job.id, resumed.webhook)
            resumed = await self.get(job.id)
        await self.send(resumed)
        return resumed

    async def view(self, job: Job) -> JobView:
        return job_view(job, await self._queue_progress(job) if job.state is JobState.QUEUED else job.progress)

    async def _queue_progress(self, job: Job) -> dict[str, Any] | None:
        queue = QUEUES[job.kind]
        rank = await self._redis.zrank(keys.waiting(queue), job.id)
        if rank is None:
            return job.progress
        progress: dict[str, Any] = (job.progress or {}) | {"jobs_before": rank}
        # Questions are refused while no inference worker runs. Jobs of the other queues may wait for days.
        why = why_waiting(queue, await self._workers.live(queue)) if queue != keys.INFERENCE else None
        return progress | {"waiting_for": why} if why else progress

    async def page(self, filters: Filters, cursor: str | None, limit: int) -> JobPage:
        """Newest first. Raises: InvalidRequest for a malformed cursor."""
        found: list[Job] = []
        before = read_cursor(cursor)
        for _ in range(0, _MOST_SCANNED, _SCAN):
            entries = await self._entries(before)
            fetched = await self._summaries([job_id for _, job_id in entries])
            for entry, job in zip(entries, fetched, strict=True):
                before = entry
                if job and filters.accept(job):
                    found.append(job)
                if len(found) == limit:
                    return JobPage(data=[job_summary(job) for job in found], next=write_cursor(before))
            if len(entries) < _SCAN:
                return JobPage(data=[job_summary(job) for job in found])
        return JobPage(data=[job_summary(job) for job in found], next=write_cursor(before))

    async def _entries(self, before: Entry) -> list[Entry]:
        """The next jobs older than `before`, as (created_at, id)."""
        pairs = cast(
            list[tuple[str, float]],
            await self._redis.zrevrangebyscore(
                self._own.jobs, before[0], "-inf", start=0, num=_SCAN + 1, withscores=True
            ),
        )
        return [(score, job_id) for job_id, score in pairs if (score, job_id) < before][:_SCAN]

    async def _fetch(self, ids: list[str]) -> list[Job | None]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(keys.job(job_id))
            return [self._read(fields) for fields in await pipe.execute()]

    async def _summaries(self, ids: list[str]) -> list[Job | None]:
        """Jobs without requests and results, which may be large."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(keys.job(job_id), lifecycle.SUMMARY_FIELDS)
            rows = await pipe.execute()
        fields = [dict(zip(lifecycle.SUMMARY_FIELDS, row, strict=True)) for row in rows]
        known = [{name: value for name, value in each.items() if value is not None} for each in fields]
        return [self._read(each) for each in known]

    def _read(self, fields: dict[str, str]) -> Job | None:
        """The job of a record. None for a job of another project as well."""
        job = _parse(fields)
        return job if job and job.project == self._own.project else None


def _parse(fields: dict[str, str]) -> Job | None:
    """The job of a record; without its request and its result where they are damaged. None if there is no record that
    this version can read."""
    summary = {name: value for name, value in fields.items() if name in lifecycle.SUMMARY_FIELDS}
    for readable in (fields, summary) if fields else ():
        try:
            return lifecycle.job_from_fields(readable)
        except ValueError as error:
            log.warning("the record of %s cannot be read: %s", fields.get("id"), error)
    return None


def _digest(kind: JobKind, request: BaseModel) -> str:
    return hashlib.sha256(json.dumps([kind, request.model_dump(mode="json")]).encode()).hexdigest()


def _queue_full(limit: int, seconds: int) -> QueueFull:
    """`seconds`: until there is room, as far as is known."""
    error = QueueFull(
        f"The queue is full: {limit} jobs are unfinished, which is the limit.",
        hint=f"Try again in {seconds} s.",
        limit=limit,
    )
    error.retry_after = seconds
    return error
