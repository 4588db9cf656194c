"""A task: once, fenced against a worker that was believed dead, and given back by one that leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from core.errors import TrainingFailed
from core.records import Job, JobState, Progress, new_job_id
from core.state import keys, lifecycle
from worker.jobs.attempt import Handler, Interrupted, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import Cancellations, CancelToken
from worker.jobs.connection import connect
from worker.jobs.reporter import Reporter, Superseded


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url, decode=True)


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.TRAINING)


@pytest.fixture
def job(client: redis.Redis) -> Job:
    job = Job(id=new_job_id(), kind="training", request={}, created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.TRAINING, 100)
    client.register_script(lifecycle.CREATE)(keys=script_keys, args=args)
    return job


def do(book: JobBook, job: Job, handler: Handler, running: Cancellations | None = None) -> bool:
    return run_job({"training": handler}, book, running or Cancellations(), job.id)


def state(book: JobBook, job: Job) -> JobState:
    found = book.get(job.id)
    assert found is not None
    return found.state


def test_progress_is_in_the_record_and_in_the_stream(client: redis.Redis, book: JobBook, job: Job) -> None:
    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.progress(Progress(phase="training", step=3))
        reporter.event("metric", {"loss": 0.5})
        return {"model": "gym:1"}

    assert do(book, job, handler) is False
    found = book.get(job.id)
    assert found is not None
    assert found.progress == {"phase": "training", "epoch": 0.0, "step": 3}
    entries: Any = client.xrange(keys.events(job.id))
    assert [fields["event"] for _, fields in entries] == ["state", "progress", "metric", "state"]


def test_a_worker_that_was_believed_dead_cannot_speak_or_end_the_job(
    client: redis.Redis, book: JobBook, job: Job
) -> None:
    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        client.zadd(keys.running(keys.TRAINING), {job.id: time.time() - 1})  # its lease ends
        assert book.start(job.id) == 2  # and another one takes over
        with pytest.raises(Superseded):
            reporter.event("log", {})
        reporter.event("checkpoint", {}, secured=True)
        return {}

    assert do(book, job, handler) is False
    assert state(book, job) is JobState.RUNNING
    assert book.stuck(job.id) == 2


def raising(error: Exception) -> Handler:
    def handler(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        raise error

    return handler


def test_a_child_that_died_is_started_again_but_not_for_ever(book: JobBook, job: Job) -> None:
    for _ in range(lifecycle.MAX_ATTEMPTS):
        assert do(book, job, raising(Interrupted("its child died"))) is True
        assert state(book, job) is JobState.QUEUED
    assert do(book, job, raising(Interrupted("its child died"))) is False
    assert state(book, job) is JobState.FAILED


def test_a_checkpoint_counts_its_attempts_anew(book: JobBook, job: Job) -> None:
    def secure(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.event("checkpoint", {"step": 1}, secured=True)
        raise Interrupted("its child died")

    for _ in range(2 * lifecycle.MAX_ATTEMPTS):
        assert do(book, job, secure) is True
    assert state(book, job) is JobState.QUEUED


@pytest.mark.parametrize(
    ("ask", "expected", "again"),
    [
        (lambda r: (r.leave(), r.leave()), JobState.QUEUED, True),
        (lambda r: r.trip(r.running[0]), JobState.CANCELLED, False),
    ],
    ids=["the worker leaves", "a user cancels"],
)
def test_a_worker_that_leaves_gives_back_what_a_user_would_cancel(
    book: JobBook, job: Job, ask: Callable[[Cancellations], object], expected: JobState, again: bool
) -> None:
    running = Cancellations()

    def handler(_job: Job, token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        ask(running)
        token.check()
        return {}

    assert do(book, job, handler, running) is again
    assert state(book, job) is expected


def test_a_cancelled_run_can_be_resumed(client: redis.Redis, book: JobBook, job: Job) -> None:
    do(book, job, raising(TrainingFailed("The loss is nan.")))
    script_keys, args = lifecycle.resume_args(job.id, keys.TRAINING, time.time())
    assert client.register_script(lifecycle.RESUME)(keys=script_keys, args=args) == "failed"
    found = book.get(job.id)
    assert found is not None
    assert (found.state, found.error, found.finished_at) == (JobState.QUEUED, None, None)
    assert do(book, job, lambda *_: {"model": "gym:1"}) is False
    assert state(book, job) is JobState.SUCCEEDED
    assert client.register_script(lifecycle.RESUME)(keys=script_keys, args=args) == "succeeded"
    assert state(book, job) is JobState.SUCCEEDED


def test_a_version_is_given_out_once_per_job(client: redis.Redis, book: JobBook, job: Job) -> None:
    other = Job(id=new_job_id(), kind="training", created_at=time.time())
    name = f"model-{other.id}"
    assert book.claim_version(job.id, name, 4) == 5
    assert book.claim_version(job.id, name, 5) == 5
    assert book.claim_version(other.id, name, 4) == 6
