"""The worker's side of a job's life: start, report, finish, put back. The gateway takes its steps asynchronously."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import redis
from pydantic_core import to_json

from core.errors import Cancelled, VireoError
from core.logs.belonging import lines_about
from core.projects import DEFAULT_PROJECT
from core.prometheus import JOBS_FINISHED, REQUEUED
from core.records import Job, JobState
from core.state import keys, lifecycle, steps
from core.state.children import FORGET
from core.state.lifecycle import LEASE_SECONDS, Attempt, Standing
from core.state.payloads import OWN, Payloads, PictureName

log = logging.getLogger(__name__)

_PARENT_WAITS = 2  # what FINISH says first where the job was the last one that its parent waited for


class Superseded(Exception):
    """The job belongs to another attempt, or has ended. This attempt must stop, and it must not end the job."""


class JobBook:
    """The jobs of one queue, in Redis. Every step that changes a job is atomic, and names the attempt that takes it."""

    def __init__(
        self,
        client: redis.Redis,
        queue: str,
        lease: float = LEASE_SECONDS,
        payloads: Payloads | None = None,
        process: str = "",
    ) -> None:
        """`lease`: seconds after which a job without a renewal is given to another worker. `payloads`: where large
        requests and results are; None for a book that reads and ends no jobs with them. `process`: a name of this
        process that no other has; the attempts that it starts carry it."""
        self.send: Callable[[str], object] = lambda _: None
        """Puts a job id on the queue. Without it, or where it fails, the reaper sends the messages of children and
        parents."""
        self._redis = client
        self._payloads = payloads
        self._own_payloads = client.register_script(OWN)
        self.queue = queue
        self.lease = lease
        self._process = process
        self._start = client.register_script(steps.START)
        self._renew = client.register_script(steps.RENEW)
        self._finish = client.register_script(steps.FINISH)
        self._expire = client.register_script(steps.EXPIRE)
        self._resend = client.register_script(steps.RESEND)
        self._release = client.register_script(steps.RELEASE)
        self._report = client.register_script(steps.REPORT)
        self._await = client.register_script(steps.AWAIT)
        self._forget = client.register_script(FORGET)
        self._claim_version = client.register_script(steps.CLAIM_VERSION)

    def get(self, job_id: str) -> Job | None:
        """The job with its request. Raises: VireoError where its record cannot be read; StorageUnavailable where its
        request in the store cannot be, PayloadLost where it is gone."""
        fields = self._redis.hgetall(keys.job(job_id))
        if not fields:
            return None
        try:
            job = lifecycle.job_from_fields({str(name): str(value) for name, value in fields.items()})
        except ValueError as error:
            raise VireoError(
                "This worker cannot read the job's record.",
                hint="It is damaged, or a newer version of Vireo wrote it: then update the workers. Send it again.",
            ) from error
        return self._payloads.load(job) if self._payloads else job

    def start(self, message: str) -> Attempt | None:
        """Start the job that a message is about, or one of an asker that has fewer jobs running. `message`: the id
        that it carries. None if there is nothing to do."""
        holder = self._process + secrets.token_hex(8)
        script_keys, args = lifecycle.start_args(message, self.queue, holder, self.lease)
        started = self._start(keys=script_keys, args=args)
        return Attempt(str(started[0]), int(started[1]), holder) if started else None

    def succeed(self, attempt: Attempt, result: dict[str, Any]) -> bool:
        """Returns False if the job no longer belongs to this attempt, like all steps that end a job.

        Raises: StorageUnavailable where a large result cannot be written into the store.
        """
        text = to_json(result).decode()  # json.dumps takes twelve times as long for vectors, with Python's lock
        if not self._payloads or not self._payloads.is_large(text):
            return self._end(attempt, JobState.SUCCEEDED, "result", text)
        self._own_payloads(keys=[keys.PAYLOADS], args=[attempt.job_id])
        written = self._payloads.write(attempt.job_id, "result", text, attempt.holder)
        return self._end(attempt, JobState.SUCCEEDED, written.field, written.text)

    def keep_picture(self, attempt: Attempt, name: PictureName, content: bytes) -> None:
        """Put a picture of the result beside the job; it is deleted with it. Raises: StorageUnavailable."""
        assert self._payloads  # a book that ends jobs has them
        self._own_payloads(keys=[keys.PAYLOADS], args=[attempt.job_id])
        self._payloads.write_picture(attempt.job_id, name, content)

    def fail(self, attempt: Attempt, error: VireoError) -> bool:
        state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
        return self._end(attempt, state, "error", error.to_dict())

    def _end(self, attempt: Attempt, state: JobState, field: str, value: dict[str, Any] | str) -> bool:
        script_keys, args = lifecycle.finish_args(attempt, self.queue, state, field, value)
        ended, kind, parent = self._finish(keys=script_keys, args=args)
        if ended:
            JOBS_FINISHED.labels(kind, state).inc()
        if ended == _PARENT_WAITS:
            self._wake(str(parent))
        return bool(ended)

    def release(self, attempt: Attempt, *, counts_as_failure: bool) -> bool:
        """Give a running job back. Returns True if it waits again, so that its message must be sent.

        The job ends instead if a cancel is pending, or after `MAX_ATTEMPTS` failures in a row.
        """
        script_keys, args = lifecycle.release_args(attempt, self.queue, counts_as_failure=counts_as_failure)
        state = self._release(keys=script_keys, args=args)
        if state and state != JobState.QUEUED:
            self._count(attempt.job_id, JobState(state))
        return bool(state == JobState.QUEUED)

    def await_children(self, attempt: Attempt, children: Sequence[Job], *, tolerant: bool = False) -> Standing:
        """Make the children that are not there yet. The job belongs to no attempt until the last of them has ended;
        then it is queued again. `tolerant`: the other children go on if one ends without a result, and the job is
        queued when half of them have ended.

        Raises: StorageUnavailable where a large request cannot be written into the store.
        """
        recorded = list(map(self._recorded, children))
        script_keys, args = lifecycle.await_args(attempt, self.queue, recorded, tolerant=tolerant)
        standing, *unsent = self._await(keys=script_keys, args=args)
        for job_id in unsent:
            self._wake(job_id)
        return Standing(standing)

    def _recorded(self, child: Job) -> Job:
        """The child as its record has it: with a large request in the store."""
        if child.request_key:  # it is there already
            return child.model_copy(update={"request": {}})
        text = json.dumps(child.request)
        if not self._payloads or not self._payloads.is_large(text):
            return child
        self._own_payloads(keys=[keys.PAYLOADS], args=[child.id])
        written = self._payloads.write(child.id, "request", text)
        return child.model_copy(update={"request": {}, written.field: written.text})

    def _wake(self, job_id: str) -> None:
        try:
            self.send(job_id)
        except Exception:
            with lines_about(job_id):
                log.exception("the message of %s could not be sent; the reaper sends it", job_id)

    def forget(self, children: Sequence[str]) -> None:
        """Delete the records of children that have ended: their parent has what they came to."""
        script_keys, args = lifecycle.forget_args(children)
        self._forget(keys=script_keys, args=args)

    def own_files(self, attempt: Attempt) -> None:
        """Say that the job has files in the store, which are deleted after its record."""
        self._own_payloads(keys=[keys.PAYLOADS], args=[attempt.job_id])

    def waiting(self, besides: Sequence[str] = ()) -> int:
        """How many jobs of the queue wait, besides these."""
        waiting = keys.waiting(self.queue)
        with self._redis.pipeline(transaction=False) as commands:
            commands.zcard(waiting)
            for job_id in besides:
                commands.zscore(waiting, job_id)
            total, *scores = commands.execute()
        return int(total) - sum(score is not None for score in scores)

    def report(
        self,
        attempt: Attempt,
        event: str,
        data: Any,
        progress: dict[str, Any] | None = None,
        *,
        checkpoint_saved: bool = False,
    ) -> Standing:
        script_keys, args = lifecycle.report_args(
            attempt, self.queue, event, data, progress, checkpoint_saved=checkpoint_saved
        )
        return Standing(self._report(keys=script_keys, args=args))

    def renew_leases(self, attempts: Sequence[Attempt]) -> dict[Attempt, Standing]:
        """Extend the leases of the attempts that run here, and say how each stands."""
        if not attempts:
            return {}
        script_keys, args = lifecycle.renew_args(attempts, self.queue, self.lease)
        return dict(zip(attempts, map(Standing, self._renew(keys=script_keys, args=args)), strict=True))

    def claim_version(
        self, attempt: Attempt, name: str, highest: int, taken: int = 0, project: str = DEFAULT_PROJECT
    ) -> int:
        """The version of the project's model `name` that this job publishes: the same number on every attempt.

        `highest`: the highest version in the store. `taken`: a number that another job has published, so that this job
        gets another one. Raises: Superseded.
        """
        script_keys, args = lifecycle.claim_version_args(attempt, self.queue, name, highest, taken, project)
        number = int(self._claim_version(keys=script_keys, args=args))
        if not number:
            raise Superseded(attempt.job_id)
        return number

    def claimed_version(self, job_id: str) -> int | None:
        number = self._redis.hget(keys.job(job_id), "version")
        return int(number) if number else None

    def expire_leases(self, died: str | None = None) -> dict[str, JobState]:
        """Take jobs away from attempts that have stopped renewing their lease, and from those of the process `died`.
        Returns the new state of each job."""
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        found = {}
        jobs = self._redis.zrangebyscore(keys.running(self.queue), "-inf", "+inf" if died else now)
        for job_id in map(str, jobs):
            script_keys, args = lifecycle.expire_args(job_id, self.queue, died)
            if state := self._expire(keys=script_keys, args=args):
                found[job_id] = JobState(state)
                if found[job_id].final:
                    self._count(job_id, found[job_id])
                else:
                    REQUEUED.inc()
        return found

    def lost_messages(self, *, everything: bool = False) -> list[str]:
        """Waiting jobs that need a new message. They are not returned again until that one may be lost, too.

        `everything`: look at all jobs, also at those whose message was sent a moment ago.
        """
        script_keys, args = lifecycle.resend_args(self.queue, everything=everything)
        return list(map(str, self._resend(keys=script_keys, args=args)))

    def _count(self, job_id: str, state: JobState) -> None:
        JOBS_FINISHED.labels(self._redis.hget(keys.job(job_id), "kind"), state).inc()
