"""The life of a job in a real Redis: every step happens once, whoever takes it and however late."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from core.errors import Cancelled, UndecodableVideo
from core.records import Job, JobState, new_job_id
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt, Standing
from tests.worker.jobs.clock import elapse
from tests.worker.jobs.conftest import QueueJob, state_of
from worker.jobs.book import JobBook, Superseded
from worker.jobs.reaper import Reaper


def start(book: JobBook, job: Job) -> Attempt:
    attempt = book.start(job.id)
    assert attempt is not None
    return attempt


def lose_lease(client: redis.Redis, book: JobBook, job: Job) -> None:
    elapse(client, book.lease + 1)
    assert book.expire_leases() == {job.id: JobState.QUEUED}


def test_a_job_reads_back_as_it_was_written(book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    assert book.get(job.id) == job


def test_the_queue_limit_refuses_and_stores_nothing(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    first = queue_job(limit=1)
    job = Job(id=new_job_id(), kind="classification", created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 1)
    assert client.register_script(steps.CREATE)(keys=script_keys, args=args)[0] == "full"
    assert book.get(job.id) is None
    assert client.zrange(keys.JOBS, 0, -1) == [first.id]


def test_only_one_of_many_workers_starts_a_job(book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    with ThreadPoolExecutor(8) as pool:
        starts = list(pool.map(lambda _: book.start(job.id), range(16)))
    assert [attempt.number for attempt in starts if attempt] == [1]


def test_a_step_whose_reply_was_lost_can_be_repeated(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    """redis-py sends a command again if the connection breaks before the reply."""
    job = queue_job(limit=1)
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 1)
    again = client.register_script(steps.CREATE)(keys=script_keys, args=args)
    assert (again[0], float(again[1])) == ("created", job.created_at)
    script_keys, args = lifecycle.start_args(job.id, keys.INFERENCE, "one delivery")
    script = client.register_script(steps.START)
    assert [script(keys=script_keys, args=args) for _ in range(2)] == [[job.id, 1]] * 2
    assert script(*lifecycle.start_args(job.id, keys.INFERENCE, "another delivery")) is None
    found = book.get(job.id)
    assert found is not None
    assert found.attempts == 1


def test_finishing_twice_keeps_the_first_end(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    attempt = start(book, job)
    assert book.succeed(attempt, {"answer": 1})
    assert not book.fail(attempt, UndecodableVideo("too late"))
    ended = book.get(job.id)
    assert ended is not None
    assert (ended.state, ended.result, ended.error) == (JobState.SUCCEEDED, {"answer": 1}, None)
    assert client.zcard(keys.running(keys.INFERENCE)) == 0
    events: Any = client.xrange(keys.events(job.id))
    assert [fields["data"] for _, fields in events] == ['"running"', '"succeeded"']


def test_a_cancelled_job_ends_as_cancelled(book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    book.fail(start(book, job), Cancelled("stop"))
    ended = book.get(job.id)
    assert ended is not None
    assert ended.state is JobState.CANCELLED
    assert ended.error is not None
    assert ended.error["code"] == "cancelled"


def test_a_finished_job_does_not_start_again(book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    book.succeed(start(book, job), {})
    assert book.start(job.id) is None


def test_a_superseded_attempt_can_do_nothing(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    late = start(book, job)
    lose_lease(client, book, job)
    current = start(book, job)
    assert current.number == 2
    elapse(client, book.lease / 2)
    before = _everything(client, job)
    assert not book.succeed(late, {"answer": "late"})
    assert not book.fail(late, UndecodableVideo("late"))
    assert not book.release(late, counts_as_failure=False)
    assert book.report(late, "log", {}, {"step": 1}, checkpoint_saved=True) is Standing.SUPERSEDED
    assert book.renew_leases([late]) == {late: Standing.SUPERSEDED}
    with pytest.raises(Superseded):
        book.claim_version(late, "gym", 0)
    assert _everything(client, job) == before
    assert book.succeed(current, {"answer": 2})


def test_an_attempt_of_a_lost_second_is_not_its_successor(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    """A Redis that loses its last second in a power cut gives the number of the lost attempt again."""
    job = queue_job()
    lost = start(book, job)
    client.hset(keys.job(job.id), mapping={"state": "queued", "attempts": 0})
    current = start(book, job)
    assert current.number == lost.number == 1
    assert not book.succeed(lost, {"answer": "lost"})
    assert book.succeed(current, {"answer": 1})


def _everything(client: redis.Redis, job: Job) -> list[Any]:
    return [
        client.hgetall(keys.job(job.id)),
        client.xrange(keys.events(job.id)),
        client.zscore(keys.running(keys.INFERENCE), job.id),
        client.hgetall(keys.model_versions()),
    ]


def test_a_job_whose_lease_ran_out_goes_to_another_worker(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    job = queue_job()
    start(book, job)
    assert book.expire_leases() == {}
    assert book.start(job.id) is None
    lose_lease(client, book, job)
    assert start(book, job).number == 2


def test_a_renewed_lease_keeps_the_job(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job, ended = queue_job(), queue_job()
    attempt, over = start(book, job), start(book, ended)
    book.succeed(over, {})
    elapse(client, book.lease - 1)
    assert book.renew_leases([attempt, over]) == {attempt: Standing.HELD, over: Standing.SUPERSEDED}
    elapse(client, book.lease - 1)
    assert book.expire_leases() == {}
    assert client.zrange(keys.running(keys.INFERENCE), 0, -1) == [job.id]


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_the_clocks_of_hosts_do_not_matter(
    client: redis.Redis, book: JobBook, queue_job: QueueJob, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    waiting, running, started = queue_job(), queue_job(), queue_job()
    attempt = start(book, running)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    assert book.expire_leases() == {}
    assert book.lost_messages() == []
    book.renew_leases([attempt])
    start(book, started)
    queued = queue_job()
    assert abs(queued.created_at - waiting.created_at) < 60
    monkeypatch.undo()
    assert book.expire_leases() == {}
    assert book.lost_messages() == []
    elapse(client, book.lease + 1)
    assert book.expire_leases() == {running.id: JobState.QUEUED, started.id: JobState.QUEUED}


def test_reports_and_renewals_tell_of_a_pending_cancel(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    attempt = start(book, job)
    cancel(client, job)
    assert book.report(attempt, "log", {}) is Standing.CANCEL_PENDING
    assert book.renew_leases([attempt]) == {attempt: Standing.CANCEL_PENDING}
    assert state_of(book, job) is JobState.RUNNING


@pytest.mark.parametrize("end", ["released", "expired"])
def test_a_job_with_a_pending_cancel_does_not_start_again(
    client: redis.Redis, book: JobBook, queue_job: QueueJob, end: str
) -> None:
    job = queue_job()
    attempt = start(book, job)
    cancel(client, job)
    if end == "released":
        assert not book.release(attempt, counts_as_failure=False)
    else:
        elapse(client, book.lease + 1)
        assert book.expire_leases() == {job.id: JobState.CANCELLED}
    found = book.get(job.id)
    assert found is not None
    assert found.state is JobState.CANCELLED
    assert (found.error or {})["code"] == "cancelled"


def cancel(client: redis.Redis, job: Job) -> None:
    script_keys, args = lifecycle.cancel_args(job.id, keys.INFERENCE, Cancelled("stop").to_dict())
    client.register_script(steps.CANCEL)(keys=script_keys, args=args)


def test_a_job_whose_workers_die_is_given_up(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job = queue_job()
    for _ in range(steps.MAX_ATTEMPTS - 1):
        start(book, job)
        lose_lease(client, book, job)
    start(book, job)
    elapse(client, book.lease + 1)
    assert book.expire_leases() == {job.id: JobState.FAILED}
    found = book.get(job.id)
    assert found is not None
    assert found.attempts == steps.MAX_ATTEMPTS
    assert "given up" in (found.error or {})["message"]


def message(job: Job) -> str:
    return json.dumps({"body": "…", "headers": {"id": job.id}})


def test_a_lost_message_is_sent_again_and_again(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    """Also while other jobs have messages in the queue; each time after a longer wait."""
    sent: list[str] = []
    first, second = Reaper(book, sent.append), Reaper(JobBook(client, keys.INFERENCE), sent.append)
    first.sweep()
    second.sweep()
    lost = queue_job()
    for _ in range(50):
        client.lpush(keys.INFERENCE, message(queue_job()))
    waits: list[int] = []
    for _ in range(9):
        waited = 0
        while len(sent) == len(waits):
            elapse(client, 6)
            waited += 6
            first.sweep()
            second.sweep()
        waits.append(waited)
    assert sent == [lost.id] * 9
    assert waits == [6, 6, 12, 24, 48, 96, 192, 384, 600]


def test_a_resend_that_fails_does_not_stop_the_others(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    jobs = [queue_job().id for _ in range(3)]
    sent: list[str] = []

    def send(job_id: str) -> None:
        sent.append(job_id)
        if job_id == jobs[0]:
            raise ConnectionError

    elapse(client, lifecycle.RESEND_SECONDS)
    Reaper(book, send).sweep()
    assert sorted(sent) == sorted(jobs)


def test_the_reaper_sends_orphans_at_once_and_fresh_jobs_not(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    sent: list[str] = []
    reaper = Reaper(book, sent.append)
    reaper.sweep()  # the first one looks at everything
    orphan = queue_job()
    start(book, orphan)
    elapse(client, book.lease + 1)
    fresh = queue_job()
    reaper.sweep()
    reaper.sweep()
    assert sent == [orphan.id]
    assert state_of(book, fresh) is JobState.QUEUED


def test_jobs_that_an_earlier_version_queued_are_sent_again(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    job = queue_job()
    client.delete(keys.resend(keys.INFERENCE))
    assert book.lost_messages() == []
    elapse(client, lifecycle.RESEND_SECONDS)
    assert book.lost_messages() == [job.id]


def test_a_version_is_given_out_once_per_job(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    job, other = queue_job(), queue_job()
    attempt = start(book, job)
    assert book.claim_version(attempt, "gym", 4) == 5
    lose_lease(client, book, job)
    assert book.claim_version(start(book, job), "gym", 5) == 5
    assert book.claim_version(start(book, other), "gym", 4) == 6


def test_a_lease_is_as_long_as_the_settings_say(client: redis.Redis, queue_job: QueueJob) -> None:
    book, job = JobBook(client, keys.INFERENCE, lease=100.0), queue_job()

    def left() -> float:
        ends = client.zscore(keys.running(keys.INFERENCE), job.id)
        assert ends is not None
        seconds, microseconds = client.time()
        return float(ends) - seconds - microseconds / 1e6

    attempt = start(book, job)
    assert 90 < left() <= 100
    elapse(client, 60)
    assert 30 < left() <= 40
    book.renew_leases([attempt])
    assert 90 < left() <= 100
