"""The worker's side of a job's life: start, report, finish, put back. The gateway takes its steps asynchronously."""

from __future__ import annotations

import time
from typing import Any

import redis

from core.errors import Cancelled, VireoError
from core.prometheus import JOBS_FINISHED, REQUEUED
from core.records import Job, JobState
from core.state import keys, lifecycle


class JobBook:
    """The jobs of one queue, in Redis. Every step that changes a job is atomic."""

    def __init__(self, client: redis.Redis, queue: str) -> None:
        self._redis = client
        self.queue = queue
        self._start = client.register_script(lifecycle.START)
        self._finish = client.register_script(lifecycle.FINISH)
        self._requeue = client.register_script(lifecycle.REQUEUE)
        self._release = client.register_script(lifecycle.RELEASE)
        self._report = client.register_script(lifecycle.REPORT)
        self._claim_version = client.register_script(lifecycle.CLAIM_VERSION)

    def get(self, job_id: str) -> Job | None:
        fields = self._redis.hgetall(keys.job(job_id))
        return lifecycle.job_from_fields({str(name): str(value) for name, value in fields.items()}) if fields else None

    def start(self, job_id: str) -> int:
        """Returns how many workers have started the job, this one included; 0 if there is nothing to do."""
        script_keys, args = lifecycle.start_args(job_id, self.queue, time.time())
        return int(self._start(keys=script_keys, args=args))

    def succeed(self, job: Job, result: dict[str, Any]) -> None:
        self._finish_job(job, JobState.SUCCEEDED, "result", result)

    def fail(self, job: Job, error: VireoError) -> None:
        state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
        self._finish_job(job, state, "error", error.to_dict())

    def _finish_job(self, job: Job, state: JobState, field: str, value: dict[str, Any]) -> None:
        script_keys, args = lifecycle.finish_args(job.id, self.queue, time.time(), state, field, value)
        if self._finish(keys=script_keys, args=args):
            JOBS_FINISHED.labels(job.kind, state).inc()

    def release(self, job_id: str, attempt: int, *, counts_as_failure: bool) -> bool:
        """Put a running job back into the queue. Returns True if it belonged to this attempt and waits again.

        A failure counts towards `lifecycle.MAX_ATTEMPTS`.
        """
        script_keys, args = lifecycle.release_args(job_id, self.queue, attempt, reset_attempts=not counts_as_failure)
        return bool(self._release(keys=script_keys, args=args))

    def attempts_since_checkpoint(self, job_id: str) -> int:
        """How many workers have started the job since it last saved a checkpoint."""
        return int(self._redis.hget(keys.job(job_id), "stuck") or 0)

    def report(
        self,
        job_id: str,
        attempt: int,
        event: str,
        data: Any,
        progress: dict[str, Any] | None = None,
        *,
        checkpoint_saved: bool = False,
    ) -> bool:
        """Returns False if the job no longer belongs to this attempt."""
        script_keys, args = lifecycle.report_args(
            job_id, attempt, event, data, progress, checkpoint_saved=checkpoint_saved
        )
        return bool(self._report(keys=script_keys, args=args))

    def claim_version(self, job_id: str, name: str, highest: int) -> int:
        """The version of model `name` that this job publishes: the same number on every attempt."""
        script_keys, args = lifecycle.claim_version_args(job_id, name, highest)
        return int(self._claim_version(keys=script_keys, args=args))

    def claimed_version(self, job_id: str) -> int | None:
        number = self._redis.hget(keys.job(job_id), "version")
        return int(number) if number else None

    def cancel_requested(self, job_id: str) -> bool:
        return self._redis.hget(keys.job(job_id), "cancel_requested") == "1"

    def renew_leases(self, job_ids: list[str]) -> None:
        """Extend the leases of the jobs that run here. A lease that was removed is not created again (XX)."""
        if job_ids:
            lease = time.time() + lifecycle.LEASE_SECONDS
            self._redis.zadd(keys.running(self.queue), dict.fromkeys(job_ids, lease), xx=True)

    def requeue_orphans(self) -> list[str]:
        """Put jobs whose worker died back into the queue, and return their ids."""
        now = time.time()
        expired = map(str, self._redis.zrangebyscore(keys.running(self.queue), "-inf", now))
        return [job_id for job_id in expired if self._requeue_job(job_id, now)]

    def _requeue_job(self, job_id: str, now: float) -> bool:
        script_keys, args = lifecycle.requeue_args(job_id, self.queue, now)
        moved = bool(self._requeue(keys=script_keys, args=args))
        if moved:
            REQUEUED.inc()
        return moved

    def waiting_longer_than(self, seconds: float) -> list[str]:
        return [
            str(job_id) for job_id in self._redis.zrangebyscore(keys.waiting(self.queue), "-inf", time.time() - seconds)
        ]

    def broker_backlog(self) -> int:
        """Number of messages that no worker has fetched yet. Celery keeps them in a list named after the queue."""
        return int(self._redis.llen(self.queue))
