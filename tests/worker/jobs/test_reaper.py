from __future__ import annotations

import threading

import pytest
import redis

from core.logs.belonging import JOB_ID
from core.state import keys
from tests.worker.jobs.clock import elapse
from tests.worker.jobs.conftest import QueueJob
from worker.jobs.book import JobBook
from worker.jobs.reaper import Reaper


def test_a_sweep_that_fails_is_followed_by_the_next(
    client: redis.Redis, book: JobBook, queue_job: QueueJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an attempt whose worker died to a new message, with a Redis that is away for the first sweep."""
    job, sent, about, stopped = queue_job(), [], [], threading.Event()
    assert book.start(job.id)
    elapse(client, book.lease + 1)
    expire, tries = book.expire_leases, []

    def away_once(died: str | None) -> object:
        tries.append(1)
        if len(tries) == 1:
            raise redis.ConnectionError("away")
        return expire(died)

    def send(job_id: str) -> None:
        about.append(JOB_ID.get())
        sent.append(job_id)
        stopped.set()

    monkeypatch.setattr(book, "expire_leases", away_once)
    reaper = Reaper(book, send)
    monkeypatch.setattr(reaper, "_interval", 0.01)
    thread = threading.Thread(target=reaper.run, args=(stopped,), daemon=True)
    thread.start()
    assert stopped.wait(20), "no message was sent"
    thread.join(10)
    assert sent == about == [job.id]  # its log lines are about the job
    assert len(tries) >= 2


def test_leases_are_looked_at_four_times_while_they_last_and_every_three_seconds(client: redis.Redis) -> None:
    assert Reaper(JobBook(client, keys.INFERENCE, 100.0), print)._interval == 3.0
    assert Reaper(JobBook(client, keys.INFERENCE, 2.0), print)._interval == 0.5


def test_the_jobs_of_a_process_that_is_known_to_be_dead_do_not_wait_for_their_leases(
    client: redis.Redis, queue_job: QueueJob
) -> None:
    """Those of a process that lives stay where they are."""
    theirs, ours = queue_job(), queue_job()
    dead, alive = (JobBook(client, keys.INFERENCE, process=name) for name in ("0dead", "1alive"))
    assert dead.start(theirs.id)
    assert alive.start(ours.id)
    sent: list[str] = []
    Reaper(alive, sent.append, died="0dead").sweep()
    assert sent == [theirs.id]
    assert alive.start(theirs.id)
    assert alive.start(ours.id) is None


def test_the_first_sweep_of_a_worker_sends_what_a_dead_worker_had_taken_and_the_next_one_waits(
    book: JobBook, queue_job: QueueJob
) -> None:
    """The jobs wait, and the broker has no message of them."""
    sent: list[str] = []
    reaper = Reaper(book, sent.append)
    first = queue_job()
    reaper.sweep()
    assert sent == [first.id]
    queue_job()
    reaper.sweep()
    assert sent == [first.id]
