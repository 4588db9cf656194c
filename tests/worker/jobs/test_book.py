"""The life of a job in a real Redis: every step happens once, whoever takes it and however late."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from core.errors import Cancelled, UndecodableVideo
from core.records import Job, JobState, new_job_id
from core.state import keys, lifecycle
from worker.jobs.book import JobBook
from worker.jobs.connection import connect
from worker.jobs.reaper import Reaper


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url, decode=True)


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.INFERENCE)


def queue_job(client: redis.Redis, *, age: float = 0.0, limit: int = 100) -> Job:
    job = Job(id=new_job_id(), kind="classify", request={"labels": ["ä", "b"]}, created_at=time.time() - age)
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, limit)
    assert client.register_script(lifecycle.CREATE)(keys=script_keys, args=args) == 1
    return job


def test_a_job_reads_back_as_it_was_written(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    assert book.get(job.id) == job


def test_the_queue_limit_refuses_and_stores_nothing(client: redis.Redis, book: JobBook) -> None:
    first = queue_job(client, limit=1)
    job = Job(id=new_job_id(), kind="classify", created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 1)
    assert client.register_script(lifecycle.CREATE)(keys=script_keys, args=args) == 0
    assert book.get(job.id) is None
    assert client.zrange(keys.JOBS, 0, -1) == [first.id]


def test_only_one_of_many_workers_starts_a_job(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    with ThreadPoolExecutor(8) as pool:
        starts = list(pool.map(lambda _: book.start(job.id), range(16)))
    assert sorted(starts) == [0] * 15 + [1]


def test_finishing_twice_keeps_the_first_end(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    book.start(job.id)
    book.succeed(job, {"answer": 1})
    book.fail(job, UndecodableVideo("too late"))
    ended = book.get(job.id)
    assert ended is not None
    assert (ended.state, ended.result, ended.error) == (JobState.SUCCEEDED, {"answer": 1}, None)
    assert client.zcard(keys.running(keys.INFERENCE)) == 0
    events: Any = client.xrange(keys.events(job.id))
    assert [fields["data"] for _, fields in events] == ['"running"', '"succeeded"']


def test_a_cancelled_job_ends_as_cancelled(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    book.start(job.id)
    book.fail(job, Cancelled("stop"))
    ended = book.get(job.id)
    assert ended is not None
    assert ended.state is JobState.CANCELLED
    assert ended.error is not None
    assert ended.error["code"] == "cancelled"


def test_a_finished_job_does_not_start_again(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    book.start(job.id)
    book.succeed(job, {})
    assert book.start(job.id) == 0


def test_a_job_whose_lease_ran_out_goes_to_another_worker(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    book.start(job.id)
    assert book.requeue_orphans() == []
    client.zadd(keys.running(keys.INFERENCE), {job.id: time.time() - 1})
    assert book.requeue_orphans() == [job.id]
    assert book.start(job.id) == 2


def test_a_renewed_lease_keeps_the_job_and_a_removed_one_stays_away(client: redis.Redis, book: JobBook) -> None:
    job = queue_job(client)
    book.start(job.id)
    client.zadd(keys.running(keys.INFERENCE), {job.id: time.time() + 0.05})
    book.renew_leases([job.id, "job_of_somebody_else"])
    time.sleep(0.1)
    assert book.requeue_orphans() == []
    assert client.zrange(keys.running(keys.INFERENCE), 0, -1) == [job.id]


def test_the_reaper_sends_jobs_without_a_worker_or_message_once(client: redis.Redis, book: JobBook) -> None:
    orphan, lost, fresh = queue_job(client), queue_job(client, age=60), queue_job(client)
    book.start(orphan.id)
    client.zadd(keys.running(keys.INFERENCE), {orphan.id: time.time() - 1})
    sent: list[str] = []
    reaper = Reaper(book, sent.append)
    reaper.sweep()
    reaper.sweep()
    assert sent == [orphan.id, lost.id]
    assert fresh.id not in sent


def test_the_reaper_leaves_waiting_jobs_alone_while_the_broker_has_messages(client: redis.Redis, book: JobBook) -> None:
    queue_job(client, age=60)
    client.rpush(keys.INFERENCE, "a message")
    sent: list[str] = []
    Reaper(book, sent.append).sweep()
    assert sent == []
