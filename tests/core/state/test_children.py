"""A job that waits for jobs of its own, against the steps in a real Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import Cancelled, TrainingFailed
from core.records import Job, JobState, new_job_id
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt, Standing
from tests.worker.jobs.clock import elapse
from worker.jobs.book import JobBook
from worker.jobs.connection import connect


class Family:
    """A parent whose attempt has made three children."""

    def __init__(self, redis_url: str) -> None:
        self.redis = connect(redis_url, decode=True)
        self.book = JobBook(self.redis, keys.TRAINING)
        self.sent: list[str] = []
        self.book.send = self.sent.append
        self.parent = Job(id=new_job_id(), kind="evaluation", created_at=0.0)
        ids = sorted((new_job_id() for _ in range(3)), reverse=True)  # not in the order of their names
        self.children = [Job(id=each, kind="training", parent=self.parent.id, created_at=0.0) for each in ids]
        script_keys, args = lifecycle.create_args(self.parent, keys.TRAINING, 10)
        self.redis.register_script(steps.CREATE)(keys=script_keys, args=args)
        self.wait()

    def wait(self, *, tolerant: bool = False) -> Standing:
        self.attempt = self.start(self.parent)
        return self.book.await_children(self.attempt, self.children, tolerant=tolerant)

    def start(self, job: Job) -> Attempt:
        attempt = self.book.start(job.id)
        assert attempt is not None
        return attempt

    def end(self, *children: Job) -> None:
        for child in children:
            assert self.book.succeed(self.start(child), {})

    def cancel(self, job: Job) -> None:
        script_keys, args = lifecycle.cancel_args(job.id, keys.TRAINING, Cancelled("stop").to_dict())
        self.redis.register_script(steps.CANCEL)(keys=script_keys, args=args)

    def state(self, job: Job) -> str:
        return str(self.redis.hget(keys.job(job.id), "state"))

    @property
    def states(self) -> list[str]:
        return [self.state(child) for child in self.children]

    @property
    def progress(self) -> Any:
        return json.loads(str(self.redis.hget(keys.job(self.parent.id), "progress")))

    def told(self, job: Job) -> bool:
        return self.redis.hexists(keys.job(job.id), "cancel_requested")


@pytest.fixture
def family(redis_url: str) -> Family:
    return Family(redis_url)


def test_children_wait_in_their_order_and_the_parent_goes_on_after_the_last(family: Family) -> None:
    assert (family.state(family.parent), family.states) == ("running", ["queued"] * 3)
    elapse(family.redis, 1.0)
    assert family.book.lost_messages() == [child.id for child in family.children]
    for ended, child in enumerate(family.children, 1):
        family.end(child)
        assert family.progress == {"phase": "runs", "step": ended, "steps": 3}
        assert family.state(family.parent) == ("queued" if ended == 3 else "running")
    elapse(family.redis, 1.0)
    assert family.book.lost_messages() == [family.parent.id]
    assert family.book.succeed(family.start(family.parent), {})
    assert family.redis.zcard(keys.running(keys.TRAINING)) == 0
    entries: Any = family.redis.xrange(keys.events(family.parent.id))
    story = [json.loads(fields["data"]) for _, fields in entries]
    counts = [each["step"] for each in story if isinstance(each, dict)]
    assert counts == [0, 1, 2, 3]
    assert [each for each in story if isinstance(each, str)] == ["running", "queued", "running", "succeeded"]


def test_no_worker_is_needed_while_it_waits(family: Family) -> None:
    elapse(family.redis, 100 * family.book.lease)
    assert family.book.expire_leases() == {}
    assert family.state(family.parent) == "running"
    assert family.book.renew_leases([family.attempt]) == {family.attempt: Standing.SUPERSEDED}
    assert not family.book.succeed(family.attempt, {})


def test_a_repeated_wait_makes_and_starts_nothing_again(family: Family) -> None:
    assert family.book.await_children(family.attempt, family.children) is Standing.SUPERSEDED
    family.end(*family.children)
    before = [family.redis.hgetall(keys.job(child.id)) for child in family.children]
    assert family.wait() is Standing.HELD  # by an attempt that read the children before they ended
    assert family.state(family.parent) == "queued"
    assert [family.redis.hgetall(keys.job(child.id)) for child in family.children] == before


def test_a_parent_with_queued_children_is_cancelled_at_once(family: Family) -> None:
    family.end(family.children[0])
    family.cancel(family.parent)
    assert family.state(family.parent) == "cancelled"
    assert family.states == ["succeeded", "cancelled", "cancelled"]
    assert family.redis.zcard(keys.waiting(keys.TRAINING)) == 0
    assert family.redis.zcard(keys.resend(keys.TRAINING)) == 0


def test_a_cancelled_parent_ends_with_its_running_children(family: Family) -> None:
    running = family.start(family.children[1])
    family.cancel(family.parent)
    assert (family.state(family.parent), family.states) == ("running", ["cancelled", "running", "cancelled"])
    assert family.told(family.children[1])
    assert family.book.renew_leases([running]) == {running: Standing.CANCEL_PENDING}
    family.book.fail(running, Cancelled("It stopped."))
    assert (family.state(family.parent), family.states) == ("cancelled", ["cancelled"] * 3)
    error = json.loads(str(family.redis.hget(keys.job(family.parent.id), "error")))
    assert error["code"] == "cancelled"


@pytest.mark.parametrize("how", ["fails", "is cancelled", "is given up"])
def test_a_child_without_a_result_ends_its_siblings_and_wakes_the_parent(family: Family, how: str) -> None:
    first, second, third = family.children
    running = family.start(second)
    if how == "fails":
        family.book.fail(family.start(first), TrainingFailed("The loss is not a number."))
    elif how == "is cancelled":
        family.cancel(first)
    else:
        for _ in range(steps.MAX_ATTEMPTS):
            family.book.release(family.start(first), counts_as_failure=True)
    assert family.state(first) in ("failed", "cancelled")
    assert (family.state(second), family.state(third), family.told(second)) == ("running", "cancelled", True)
    assert family.state(family.parent) == "running"
    family.book.fail(running, Cancelled("It stopped."))
    assert family.state(family.parent) == "queued"


def test_messages_of_children_and_parent_need_no_reaper(family: Family) -> None:
    assert family.sent == [child.id for child in family.children]
    family.end(*family.children[:2])
    assert len(family.sent) == 3
    family.end(family.children[2])
    assert family.sent[3:] == [family.parent.id]


def test_a_message_that_cannot_be_sent_changes_no_step(family: Family) -> None:
    def away(_: str) -> None:
        raise ConnectionError

    family.book.send = away
    family.end(*family.children)
    assert (family.state(family.parent), family.states) == ("queued", ["succeeded"] * 3)


def test_a_tolerant_parent_goes_on_after_a_child_without_a_result(redis_url: str) -> None:
    family = Family(redis_url)
    family.end(*family.children)
    family.children = [Job(id=new_job_id(), kind="training", parent=family.parent.id, created_at=0.0) for _ in "123"]
    family.redis.hset(keys.job(family.parent.id), "progress", '{"step": 7}')
    assert family.wait(tolerant=True) is Standing.HELD
    family.book.fail(family.start(family.children[0]), TrainingFailed("The loss is not a number."))
    family.cancel(family.children[1])
    assert family.states == ["failed", "cancelled", "queued"]
    assert (family.state(family.parent), family.progress) == ("queued", {"step": 7})


def test_a_tolerant_parent_goes_on_when_half_of_its_children_have_ended(redis_url: str) -> None:
    family = Family(redis_url)
    family.end(*family.children)
    family.children = [Job(id=new_job_id(), kind="training", parent=family.parent.id, created_at=0.0) for _ in "1234"]
    family.wait(tolerant=True)
    family.end(family.children[0])
    assert family.state(family.parent) == "running"
    family.end(family.children[1])
    assert family.state(family.parent) == "queued"
    family.sent.clear()
    family.end(family.children[2])  # while the parent waits for a worker
    family.children = [family.children[3], Job(id=new_job_id(), kind="training", created_at=0.0)]
    assert family.wait(tolerant=True) is Standing.HELD
    family.cancel(family.parent)
    assert (family.states, family.state(family.parent)) == (["cancelled", "cancelled"], "cancelled")


def test_a_tolerant_parent_that_is_cancelled_ends_with_the_last_of_its_children(redis_url: str) -> None:
    family = Family(redis_url)
    family.end(*family.children)
    family.children = [Job(id=new_job_id(), kind="training", parent=family.parent.id, created_at=0.0) for _ in "1234"]
    family.wait(tolerant=True)
    first, last = family.start(family.children[0]), family.start(family.children[1])
    family.cancel(family.parent)
    family.book.fail(first, Cancelled("stop"))
    assert family.state(family.parent) == "running"
    family.book.fail(last, Cancelled("stop"))
    assert (family.states, family.state(family.parent)) == (["cancelled"] * 4, "cancelled")


def test_a_parent_that_waits_for_a_worker_is_cancelled_with_its_children(redis_url: str) -> None:
    family = Family(redis_url)
    family.end(*family.children)
    family.children = [Job(id=new_job_id(), kind="training", parent=family.parent.id, created_at=0.0) for _ in "12"]
    family.wait(tolerant=True)
    running = family.start(family.children[1])
    family.end(family.children[0])
    assert family.state(family.parent) == "queued"
    family.cancel(family.parent)
    assert family.state(family.parent) == "cancelled"
    assert family.book.renew_leases([running])[running] is Standing.CANCEL_PENDING
    family.book.fail(running, Cancelled("stop"))
    assert family.state(family.parent) == "cancelled"


def test_children_are_forgotten_once_they_have_ended(family: Family) -> None:
    ended, running, waiting = family.children
    family.end(ended)
    family.start(running)
    family.book.forget([child.id for child in family.children])
    assert [bool(family.redis.exists(keys.job(child.id))) for child in family.children] == [False, True, True]
    assert family.redis.zscore(keys.JOBS, ended.id) is None
    assert family.redis.zscore(keys.FINISHED, ended.id) is None
    assert not family.redis.exists(keys.events(ended.id))
    assert waiting.id in family.book.lost_messages()


def test_a_parent_that_ends_without_a_result_leaves_no_child_behind(family: Family) -> None:
    running = family.start(family.children[0])
    family.end(family.children[1])
    family.redis.hdel(keys.job(family.parent.id), "awaits")  # as if an attempt held it
    family.redis.hset(keys.job(family.parent.id), "holder", family.attempt.holder)
    assert family.book.fail(family.attempt, TrainingFailed("broken"))
    assert family.states == ["running", "succeeded", "cancelled"]
    assert family.book.renew_leases([running]) == {running: Standing.CANCEL_PENDING}
    family.book.fail(running, Cancelled("It stopped."))
    assert family.state(family.parent) == JobState.FAILED
    assert not family.redis.exists(keys.children(family.parent.id))


def test_a_pending_cancel_makes_no_children(redis_url: str) -> None:
    family = Family(redis_url)
    job = Job(id=new_job_id(), kind="evaluation", created_at=0.0)
    script_keys, args = lifecycle.create_args(job, keys.TRAINING, 10)
    family.redis.register_script(steps.CREATE)(keys=script_keys, args=args)
    attempt = family.start(job)
    family.cancel(job)
    child = Job(id=new_job_id(), kind="training", parent=job.id, created_at=0.0)
    assert family.book.await_children(attempt, [child]) is Standing.CANCEL_PENDING
    assert family.book.get(child.id) is None
