"""One attempt at a job: it runs once, a superseded worker cannot report, and a worker that stops puts it back."""

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
from worker.jobs.cancellation import CancelToken, RunningJobs
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


def attempt(book: JobBook, job: Job, handler: Handler, running: RunningJobs | None = None) -> bool:
    return run_job({"training": handler}, book, running or RunningJobs(), job.id)


def state(book: JobBook, job: Job) -> JobState:
    found = book.get(job.id)
    assert found is not None
    return found.state


def test_progress_is_in_the_record_and_in_the_stream(client: redis.Redis, book: JobBook, job: Job) -> None:
    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.progress(Progress(phase="training", step=3))
        reporter.event("metric", {"loss": 0.5})
        return {"model": "gym:1"}

    assert attempt(book, job, handler) is False
    found = book.get(job.id)
    assert found is not None
    assert found.progress == {"phase": "training", "epoch": 0.0, "step": 3}
    entries: Any = client.xrange(keys.events(job.id))
    assert [fields["event"] for _, fields in entries] == ["state", "progress", "metric", "state"]


def test_a_superseded_worker_can_neither_report_nor_end_the_job(client: redis.Redis, book: JobBook, job: Job) -> None:
    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        client.zadd(keys.running(keys.TRAINING), {job.id: time.time() - 1})  # its lease expires
        assert book.start(job.id) == 2  # and another worker takes over
        with pytest.raises(Superseded):
            reporter.event("log", {})
        reporter.event("checkpoint", {}, checkpoint_saved=True)
        return {}

    assert attempt(book, job, handler) is False
    assert state(book, job) is JobState.RUNNING
    assert book.attempts_since_checkpoint(job.id) == 2


def raising(error: Exception) -> Handler:
    def handler(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        raise error

    return handler


def test_a_job_whose_child_died_runs_again_but_not_for_ever(book: JobBook, job: Job) -> None:
    for _ in range(lifecycle.MAX_ATTEMPTS):
        assert attempt(book, job, raising(Interrupted("its child died"))) is True
        assert state(book, job) is JobState.QUEUED
    assert attempt(book, job, raising(Interrupted("its child died"))) is False
    assert state(book, job) is JobState.FAILED


def test_a_checkpoint_resets_the_count_of_attempts(book: JobBook, job: Job) -> None:
    def save_checkpoint(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.event("checkpoint", {"step": 1}, checkpoint_saved=True)
        raise Interrupted("its child died")

    for _ in range(2 * lifecycle.MAX_ATTEMPTS):
        assert attempt(book, job, save_checkpoint) is True
    assert state(book, job) is JobState.QUEUED


@pytest.mark.parametrize(
    ("cancel", "expected", "sent_again"),
    [
        (lambda r: (r.release_all(), r.release_all()), JobState.QUEUED, True),
        (lambda r: r.cancel(r.ids[0]), JobState.CANCELLED, False),
    ],
    ids=["the worker stops", "a user cancels"],
)
def test_a_worker_that_stops_puts_back_a_job_that_a_user_would_cancel(
    book: JobBook, job: Job, cancel: Callable[[RunningJobs], object], expected: JobState, sent_again: bool
) -> None:
    running = RunningJobs()

    def handler(_job: Job, token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        cancel(running)
        token.check()
        return {}

    assert attempt(book, job, handler, running) is sent_again
    assert state(book, job) is expected


def test_a_cancelled_run_can_be_resumed(client: redis.Redis, book: JobBook, job: Job) -> None:
    attempt(book, job, raising(TrainingFailed("The loss is nan.")))
    script_keys, args = lifecycle.resume_args(job.id, keys.TRAINING, time.time())
    assert client.register_script(lifecycle.RESUME)(keys=script_keys, args=args) == "failed"
    found = book.get(job.id)
    assert found is not None
    assert (found.state, found.error, found.finished_at) == (JobState.QUEUED, None, None)
    assert attempt(book, job, lambda *_: {"model": "gym:1"}) is False
    assert state(book, job) is JobState.SUCCEEDED
    assert client.register_script(lifecycle.RESUME)(keys=script_keys, args=args) == "succeeded"
    assert state(book, job) is JobState.SUCCEEDED


def test_a_version_is_given_out_once_per_job(client: redis.Redis, book: JobBook, job: Job) -> None:
    other = Job(id=new_job_id(), kind="training", created_at=time.time())
    name = f"model-{other.id}"
    assert book.claim_version(job.id, name, 4) == 5
    assert book.claim_version(job.id, name, 5) == 5
    assert book.claim_version(other.id, name, 4) == 6
