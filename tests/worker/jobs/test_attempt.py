"""One attempt at a job: it runs once, a superseded worker cannot report, and a worker that stops puts it back."""

from __future__ import annotations

import errno
import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis

from core.errors import Cancelled, TrainingFailed
from core.logs.belonging import belong_to
from core.logs.lines import TextLines
from core.records import Job, JobState, Progress
from core.state import keys, lifecycle, steps
from core.state.fairness import asked_by
from tests.worker.jobs.clock import elapse
from tests.worker.jobs.conftest import QueueJob, state_of
from worker.jobs.attempt import Handler, Interrupted, Postponed, PutBack, run_job
from worker.jobs.book import JobBook, Superseded
from worker.jobs.cancellation import CancelToken, RunningJobs
from worker.jobs.reaper import Reaper
from worker.jobs.reporter import Reporter
from worker.jobs.turns import ASKER


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.TRAINING)


@pytest.fixture
def job(queue_job: QueueJob) -> Job:
    return queue_job("training")


def attempt(book: JobBook, job: Job, handler: Handler, running: RunningJobs | None = None) -> bool:
    """Whether the job's message must be sent again."""
    return run_job({"training": handler}, book, running or RunningJobs(), job.id) is not None


def take_over(client: redis.Redis, book: JobBook, job: Job) -> None:
    """The lease expires and another worker starts the job."""
    elapse(client, book.lease + 1)
    book.expire_leases()
    assert book.start(job.id)


def test_what_a_job_asks_for_is_asked_for_by_its_project_and_key(book: JobBook, client: redis.Redis, job: Job) -> None:
    seen: list[str] = []

    def handler(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        seen.append(ASKER.get())
        return {}

    client.hset(keys.job(job.id), mapping={"project": "lab", "api_key": "abc"})
    attempt(book, job, handler)
    assert seen == [asked_by("lab", "abc")]


def test_what_follows_an_answer_begins_once_it_is_stored(book: JobBook, job: Job) -> None:
    seen: list[str] = []

    def broken() -> None:
        raise RuntimeError("the answer is stored all the same")

    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.afterwards(broken)
        reporter.afterwards(lambda: seen.append(state_of(book, job)))
        return {"model": "gym:1"}

    assert attempt(book, job, handler) is False
    assert seen == [JobState.SUCCEEDED]


def test_nothing_follows_an_answer_that_was_not_stored(client: redis.Redis, book: JobBook, job: Job) -> None:
    seen: list[str] = []

    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.afterwards(lambda: seen.append("followed"))
        take_over(client, book, job)
        return {"model": "gym:1"}

    attempt(book, job, handler)
    assert seen == []


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


def test_log_lines_have_the_id_of_the_request_that_made_the_job(
    client: redis.Redis, book: JobBook, queue_job: QueueJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(TextLines())
    logger = logging.getLogger("worker.jobs.attempt")
    logger.addHandler(handler)
    try:
        for request_id in ("trace-7", None):
            job = queue_job("training")
            if request_id:
                client.hset(keys.job(job.id), "request_id", request_id)
            attempt(book, job, _broken)
        belong_to("job-before", "trace-8")  # this thread has run another job before
        monkeypatch.setattr(book, "start", _away)
        attempt(book, job, _broken)
    finally:
        logger.removeHandler(handler)
    first, second = [line for line in lines.getvalue().splitlines() if "failed with an unexpected error" in line]
    assert "ERROR worker.jobs.attempt [trace-7 job_" in first
    assert "ERROR worker.jobs.attempt [job_" in second
    assert f"WARNING worker.jobs.attempt [{job.id}]: job_" in lines.getvalue()
    assert "job-before" not in lines.getvalue()
    assert "trace-8" not in lines.getvalue()


def _away(_job_id: str) -> None:
    raise redis.ConnectionError("Redis is away")


def _broken(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("end", [{"model": "late:1"}, TrainingFailed("late"), Interrupted("late"), Cancelled("late")])
def test_a_superseded_worker_can_neither_report_nor_end_the_job(
    client: redis.Redis, book: JobBook, job: Job, end: dict[str, Any] | Exception
) -> None:
    def handler(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        take_over(client, book, job)
        with pytest.raises(Superseded):
            reporter.event("log", {})
        if isinstance(end, Exception):
            raise end
        return end

    assert attempt(book, job, handler) is False
    found = book.get(job.id)
    assert found is not None
    assert (found.state, found.attempts, found.result, found.error) == (JobState.RUNNING, 2, None, None)


def test_a_superseded_worker_that_reports_nothing_is_stopped_by_its_heartbeat(
    client: redis.Redis, book: JobBook, job: Job
) -> None:
    running = RunningJobs()

    def handler(_job: Job, token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        running.observe(book.renew_leases(running.attempts))
        token.check()
        take_over(client, book, job)
        running.observe(book.renew_leases(running.attempts))
        assert token.job_continues
        token.check()
        raise AssertionError("the attempt was not stopped")

    assert attempt(book, job, handler, running) is False
    assert state_of(book, job) is JobState.RUNNING


def raising(error: Exception) -> Handler:
    def handler(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        raise error

    return handler


def test_a_job_whose_child_died_runs_again_but_not_for_ever(book: JobBook, job: Job) -> None:
    for _ in range(steps.MAX_ATTEMPTS - 1):
        assert attempt(book, job, raising(Interrupted("its child died"))) is True
        assert state_of(book, job) is JobState.QUEUED
    assert attempt(book, job, raising(Interrupted("its child died"))) is False
    assert state_of(book, job) is JobState.FAILED


def test_a_checkpoint_resets_the_count_of_attempts(book: JobBook, job: Job) -> None:
    def save_checkpoint(_job: Job, _token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        reporter.event("checkpoint", {"step": 1}, checkpoint_saved=True)
        raise Interrupted("its child died")

    for _ in range(2 * steps.MAX_ATTEMPTS):
        assert attempt(book, job, save_checkpoint) is True
    assert state_of(book, job) is JobState.QUEUED


@pytest.mark.parametrize(
    ("cancel", "expected", "sent_again"),
    [
        (lambda r: (r.release_all(), r.release_all()), JobState.QUEUED, True),
        (lambda r: r.cancel(r.attempts[0].job_id), JobState.CANCELLED, False),
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
    assert state_of(book, job) is expected


def test_workers_that_stop_are_no_failures_of_the_job(book: JobBook, job: Job) -> None:
    for _ in range(2 * steps.MAX_ATTEMPTS):
        running = RunningJobs()
        running.release_all()  # the message was fetched just before
        assert attempt(book, job, lambda *_: {}, running) is True
    assert state_of(book, job) is JobState.QUEUED


def test_a_second_message_does_not_disarm_the_running_job(client: redis.Redis, book: JobBook, job: Job) -> None:
    running = RunningJobs()

    def handler(_job: Job, token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        assert attempt(book, job, raising(AssertionError("it ran twice")), running) is False
        (held,) = running.attempts
        elapse(client, book.lease - 1)
        running.observe(book.renew_leases([held]))
        elapse(client, book.lease - 1)
        assert book.expire_leases() == {}
        running.cancel(job.id)
        token.check()
        raise AssertionError("the job was not cancelled")

    assert attempt(book, job, handler, running) is False
    assert state_of(book, job) is JobState.CANCELLED
    assert running.attempts == []


def ask_to_cancel(client: redis.Redis, job: Job) -> None:
    """As the gateway does, while no worker hears the message."""
    script_keys, args = lifecycle.cancel_args(job.id, keys.TRAINING, Cancelled("stop").to_dict())
    client.register_script(steps.CANCEL)(keys=script_keys, args=args)


@pytest.mark.parametrize("learns", ["a report", "a heartbeat"])
def test_a_cancel_that_the_worker_did_not_hear_reaches_it(
    client: redis.Redis, book: JobBook, job: Job, learns: str
) -> None:
    running = RunningJobs()

    def handler(_job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        ask_to_cancel(client, job)
        token.check()
        if learns == "a report":
            reporter.event("log", {})
        else:
            running.observe(book.renew_leases(running.attempts))
        token.check()
        raise AssertionError("the job was not cancelled")

    assert attempt(book, job, handler, running) is False
    assert state_of(book, job) is JobState.CANCELLED


def test_a_cancel_right_after_the_start_stops_the_job(
    client: redis.Redis, book: JobBook, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, running = book.start, RunningJobs()

    def start_and_cancel(job_id: str) -> Any:
        found = start(job_id)
        ask_to_cancel(client, job)
        running.cancel(job.id)  # as its listener does
        return found

    monkeypatch.setattr(book, "start", start_and_cancel)
    assert attempt(book, job, raising(AssertionError("it ran")), running) is False
    assert state_of(book, job) is JobState.CANCELLED


def test_a_cancel_of_an_earlier_start_does_not_stop_a_resumed_job(book: JobBook, job: Job) -> None:
    running = RunningJobs()
    with running.starting():
        running.cancel(job.id)
    running.cancel(job.id)
    assert attempt(book, job, lambda *_: {"model": "gym:1"}, running) is False
    assert state_of(book, job) is JobState.SUCCEEDED


def away(**_: Any) -> Any:
    """A script of a Redis that cannot be reached."""
    raise redis.ConnectionError("away")


def test_a_message_whose_start_fails_is_sent_again(
    client: redis.Redis, book: JobBook, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    with monkeypatch.context() as broken:
        broken.setattr(book, "_start", away)
        assert attempt(book, job, lambda *_: {}) is False
        elapse(client, lifecycle.RESEND_SECONDS)
        Reaper(book, sent.append).sweep()
        assert attempt(book, job, lambda *_: {}) is False  # the second message is lost in the same way
    elapse(client, lifecycle.RESEND_SECONDS)
    Reaper(book, sent.append).sweep()
    assert sent == [job.id] * 2
    assert attempt(book, job, lambda *_: {"model": "gym:1"}) is False
    assert state_of(book, job) is JobState.SUCCEEDED


def test_a_result_that_cannot_be_stored_is_no_failure_of_the_job(
    book: JobBook, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(book, "_finish", away)
        assert attempt(book, job, lambda *_: {"model": "gym:1"}) is True
    assert state_of(book, job) is JobState.QUEUED
    assert attempt(book, job, lambda *_: {"model": "gym:1"}) is False
    assert state_of(book, job) is JobState.SUCCEEDED


def test_a_cancelled_run_can_be_resumed(client: redis.Redis, book: JobBook, job: Job) -> None:
    attempt(book, job, raising(TrainingFailed("The loss is nan.")))
    script_keys, args = lifecycle.resume_args(job.id, keys.TRAINING)
    assert client.register_script(steps.RESUME)(keys=script_keys, args=args) == "failed"
    found = book.get(job.id)
    assert found is not None
    assert (found.state, found.error, found.finished_at) == (JobState.QUEUED, None, None)
    assert attempt(book, job, lambda *_: {"model": "gym:1"}) is False
    assert state_of(book, job) is JobState.SUCCEEDED
    assert client.register_script(steps.RESUME)(keys=script_keys, args=args) == "succeeded"
    assert state_of(book, job) is JobState.SUCCEEDED


def test_a_bug_is_an_error_that_names_the_job_and_shows_nothing_else(book: JobBook, job: Job) -> None:
    assert attempt(book, job, raising(RuntimeError("the secret inside"))) is False
    found = book.get(job.id)
    assert found is not None
    assert found.error is not None
    assert (found.state, found.error["code"]) == (JobState.FAILED, "internal_error")
    assert job.id in found.error["hint"]
    assert "secret" not in str(found.error)


def test_a_full_disk_is_an_error_that_says_what_to_do(book: JobBook, job: Job) -> None:
    assert attempt(book, job, raising(OSError(errno.ENOSPC, "No space left on device", "/data/x"))) is False
    found = book.get(job.id)
    assert found is not None
    assert found.error is not None
    assert (found.error["code"], found.error["hint"]) == ("storage_unavailable", "Make room there and try again.")


def test_a_postponed_job_waits_longer_each_time_and_never_fails(book: JobBook, job: Job) -> None:
    def postponed(_job: Job, _token: CancelToken, _reporter: Reporter) -> dict[str, Any]:
        raise Postponed("no room")

    again = [run_job({"training": postponed}, book, RunningJobs(), job.id) for _ in range(30)]
    assert again[:4] == [PutBack(job.id, delay) for delay in (0.25, 0.5, 0.75, 1.0)]
    assert again[20:] == [PutBack(job.id, 5.0)] * 10
    assert state_of(book, job) is JobState.QUEUED


def test_other_jobs_that_go_back_are_sent_at_once(book: JobBook, job: Job) -> None:
    handlers = {"training": raising(Interrupted("its child died"))}
    assert run_job(handlers, book, RunningJobs(), job.id) == PutBack(job.id, 0.0)


def test_a_message_that_starts_the_job_of_another_asker_sends_that_one_again(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    running, own = queue_job("training"), queue_job("training")
    assert book.start(running.id)
    other = queue_job("training")
    client.hset(keys.job(other.id), "api_key", "of somebody else")
    handlers = {"training": raising(Interrupted("its child died"))}
    assert run_job(handlers, book, RunningJobs(), own.id) == PutBack(other.id, 0.0)
