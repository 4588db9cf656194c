"""The worker's side of a job's life: start, finish, give back. Synchronous twin of what the gateway does."""

from __future__ import annotations

import time
from typing import Any

import redis

from core.errors import Cancelled, VireoError
from core.prometheus import JOBS_FINISHED, REQUEUED
from core.records import Job, JobState
from core.state import keys, lifecycle


class JobBook:
    """Jobs of one queue, in Redis. Every method is one atomic step."""

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
        """How many workers have started it, this one included; 0 if there is nothing (left) to do."""
        script_keys, args = lifecycle.start_args(job_id, self.queue, time.time())
        return int(self._start(keys=script_keys, args=args))

    def succeed(self, job: Job, result: dict[str, Any]) -> None:
        self._end(job, JobState.SUCCEEDED, "result", result)

    def fail(self, job: Job, error: VireoError) -> None:
        state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
        self._end(job, state, "error", error.to_dict())

    def _end(self, job: Job, state: JobState, field: str, value: dict[str, Any]) -> None:
        script_keys, args = lifecycle.finish_args(job.id, self.queue, time.time(), state, field, value)
        if self._finish(keys=script_keys, args=args):
            JOBS_FINISHED.labels(job.kind, state).inc()

    def release(self, job_id: str, attempt: int, *, innocent: bool) -> bool:
        """Give a running job back unfinished. True if it was this attempt's and now waits again."""
        script_keys, args = lifecycle.release_args(job_id, self.queue, attempt, count_anew=innocent)
        return bool(self._release(keys=script_keys, args=args))

    def stuck(self, job_id: str) -> int:
        """How many workers have started it since something was last secured."""
        return int(self._redis.hget(keys.job(job_id), "stuck") or 0)

    def report(
        self,
        job_id: str,
        attempt: int,
        event: str,
        data: Any,
        progress: dict[str, Any] | None = None,
        *,
        secured: bool = False,
    ) -> bool:
        """False where the job is no longer this attempt's."""
        script_keys, args = lifecycle.report_args(job_id, attempt, event, data, progress, saved=secured)
        return bool(self._report(keys=script_keys, args=args))

    def claim_version(self, job_id: str, name: str, highest: int) -> int:
        """The version of model `name` that this job publishes, the same on every attempt."""
        script_keys, args = lifecycle.claim_version_args(job_id, name, highest)
        return int(self._claim_version(keys=script_keys, args=args))

    def claimed_version(self, job_id: str) -> int | None:
        number = self._redis.hget(keys.job(job_id), "version")
        return int(number) if number else None

    def cancel_requested(self, job_id: str) -> bool:
        return self._redis.hget(keys.job(job_id), "cancel_requested") == "1"

    def renew_leases(self, job_ids: list[str]) -> None:
        """Push forward the leases of jobs that run here; one that is no longer ours stays away (XX)."""
        if job_ids:
            lease = time.time() + lifecycle.LEASE_SECONDS
            self._redis.zadd(keys.running(self.queue), dict.fromkeys(job_ids, lease), xx=True)

    def requeue_orphans(self) -> list[str]:
        """Put back jobs whose worker died, and return their ids."""
        now = time.time()
        expired = map(str, self._redis.zrangebyscore(keys.running(self.queue), "-inf", now))
        return [job_id for job_id in expired if self._give_back(job_id, now)]

    def _give_back(self, job_id: str, now: float) -> bool:
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
        """Messages that no worker has fetched yet (Celery keeps them in a list named after the queue)."""
        return int(self._redis.llen(self.queue))
