"""How many jobs ended, and how, as Prometheus shows it. Every end counts once, whichever step it is."""

from __future__ import annotations

import pytest
import redis
from prometheus_client import REGISTRY

from core.errors import Cancelled, UndecodableVideo
from core.records import JobState
from core.state import keys, lifecycle, steps
from tests.worker.jobs.clock import elapse
from tests.worker.jobs.conftest import QueueJob
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.heartbeat import Heartbeat


def counted(state: JobState) -> float:
    return REGISTRY.get_sample_value("vireo_jobs_total", {"kind": "classification", "state": state}) or 0.0


def requeued() -> float:
    return REGISTRY.get_sample_value("vireo_jobs_requeued_total") or 0.0


def cancel(client: redis.Redis, job_id: str) -> None:
    script_keys, args = lifecycle.cancel_args(job_id, keys.INFERENCE, Cancelled("stop").to_dict())
    client.register_script(steps.CANCEL)(keys=script_keys, args=args)


def test_each_end_of_an_attempt_is_counted_once(book: JobBook, queue_job: QueueJob) -> None:
    before = {state: counted(state) for state in JobState}
    for end in ({"answer": 1}, UndecodableVideo("broken"), Cancelled("stop")):
        attempt = book.start(queue_job().id)
        assert attempt is not None
        ended = book.fail(attempt, end) if isinstance(end, Exception) else book.succeed(attempt, end)
        assert ended
        assert not book.succeed(attempt, {"answer": "again"})
    after = {state: counted(state) for state in JobState}
    assert {state: after[state] - before[state] for state in JobState if state.final} == {
        JobState.SUCCEEDED: 1,
        JobState.FAILED: 1,
        JobState.CANCELLED: 1,
    }


@pytest.mark.parametrize("end", ["released", "expired"])
def test_a_job_that_goes_back_is_counted_once_it_ends(
    client: redis.Redis, book: JobBook, queue_job: QueueJob, end: str
) -> None:
    job, ended, again = queue_job(), counted(JobState.CANCELLED), requeued()

    def give_back() -> None:
        attempt = book.start(job.id)
        assert attempt is not None
        if end == "released":
            book.release(attempt, counts_as_failure=False)
        else:
            elapse(client, book.lease + 1)
            book.expire_leases()

    give_back()
    assert counted(JobState.CANCELLED) == ended
    assert requeued() == again + (end == "expired")
    attempt = book.start(job.id)
    assert attempt is not None
    cancel(client, job.id)
    if end == "released":
        book.release(attempt, counts_as_failure=False)
    else:
        elapse(client, book.lease + 1)
        book.expire_leases()
    assert counted(JobState.CANCELLED) == ended + 1
    assert requeued() == again + (end == "expired")


def test_an_end_and_a_cancel_are_told_to_those_who_listen(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    job = queue_job()
    with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(keys.DONE_CHANNEL, keys.CANCEL_CHANNEL)
        attempt = book.start(job.id)
        assert attempt is not None
        cancel(client, job.id)
        book.fail(attempt, Cancelled("stop"))
        told: list[tuple[str, str]] = []
        while len(told) < 2:
            message = channel.get_message(timeout=10)
            if message is None and told == []:
                continue  # the confirmation of the subscription
            assert message is not None, told
            told.append((message["channel"], message["data"]))
    assert told == [(keys.CANCEL_CHANNEL, job.id), (keys.DONE_CHANNEL, job.id)]


def test_a_heart_beats_four_times_in_a_lease_and_every_two_seconds(client: redis.Redis) -> None:
    def interval(lease: float) -> float:
        return Heartbeat(client, JobBook(client, keys.INFERENCE, lease), RunningJobs())._interval

    assert interval(15.0) == 2.0
    assert interval(2.0) == 0.5
