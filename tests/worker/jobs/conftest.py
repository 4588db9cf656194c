from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from core.records import Job, JobKind, JobState, new_job_id
from core.state import keys, lifecycle, steps
from core.state.queues import QUEUES
from worker.jobs.book import JobBook
from worker.jobs.connection import connect

QueueJob = Callable[..., Job]


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url, decode=True)


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.INFERENCE)


@pytest.fixture
def queue_job(client: redis.Redis) -> QueueJob:
    """Queues a job as the gateway does, without a message."""

    def queue(kind: JobKind = "classification", limit: int = 100) -> Job:
        job = Job(id=new_job_id(), kind=kind, request={"labels": ["ä", "b"]}, created_at=time.time())
        script_keys, args = lifecycle.create_args(job, QUEUES[kind], limit)
        outcome = client.register_script(steps.CREATE)(keys=script_keys, args=args)
        assert outcome[0] == "created"
        return job.model_copy(update={"created_at": float(outcome[1])})

    return queue


def state_of(book: JobBook, job: Job) -> JobState:
    found = book.get(job.id)
    assert found is not None
    return found.state
