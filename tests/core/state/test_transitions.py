"""Every cell of the table of transitions, against the steps in a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Cancelled, StorageUnavailable, UndecodableVideo
from core.records import Job, JobState, new_job_id
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt, Standing
from core.state.transitions import OF_AN_ATTEMPT, TABLE, Condition, Step
from tests.worker.jobs.clock import elapse
from worker.jobs.book import JobBook, Superseded
from worker.jobs.connection import connect

Arguments = tuple[list[str], list[str]]
NOBODY = "nobody"


class Bench:
    """One job, and whoever takes steps with it."""

    def __init__(self, redis_url: str) -> None:
        self.redis = connect(redis_url, decode=True)
        self.book = JobBook(self.redis, keys.TRAINING)
        self.job = Job(id=new_job_id(), kind="training", created_at=0.0)
        self.attempt = Attempt(self.job.id, 1, NOBODY)
        self.child = Job(id=new_job_id(), kind="training", parent=self.job.id, created_at=0.0)
        self.of_child: Attempt | None = None

    def run(self, script: str, args: Arguments) -> Any:
        return self.redis.register_script(script)(*args)

    def take(self, step: Step) -> None:
        getattr(self, "await_" if step is Step.AWAIT else step.name.lower())()

    def create(self) -> None:
        self.run(steps.CREATE, lifecycle.create_args(self.job, keys.TRAINING, 10))

    def withdraw(self) -> None:
        error = StorageUnavailable("no broker").to_dict()
        self.run(steps.WITHDRAW, lifecycle.withdraw_args(self.job.id, keys.TRAINING, error))

    def start(self) -> None:
        self.attempt = self.book.start(self.job.id) or self.attempt

    def report(self) -> None:
        self.book.report(self.attempt, "metric", {}, {"step": 1}, checkpoint_saved=True)

    def renew(self) -> None:
        self.book.renew_leases([self.attempt])

    def claim_version(self) -> None:
        try:
            self.book.claim_version(self.attempt, "gym", 0)
        except Superseded:
            return

    def await_(self) -> None:
        """The child is started at once."""
        if self.book.await_children(self.attempt, [self.child]) is Standing.HELD:
            self.of_child = self.book.start(self.child.id)

    def child_ends(self) -> None:
        if self.of_child:
            self.book.succeed(self.of_child, {})

    def succeed(self) -> None:
        self.book.succeed(self.attempt, {"model": "gym:1"})

    def fail(self) -> None:
        self.book.fail(self.attempt, UndecodableVideo("broken"))

    def stop(self) -> None:
        self.book.fail(self.attempt, Cancelled("stop"))

    def release(self) -> None:
        self.book.release(self.attempt, counts_as_failure=True)

    def expire(self) -> None:
        elapse(self.redis, self.book.lease + 1)
        self.run(steps.EXPIRE, lifecycle.expire_args(self.job.id, keys.TRAINING))

    def cancel(self) -> None:
        self.run(steps.CANCEL, lifecycle.cancel_args(self.job.id, keys.TRAINING, Cancelled("stop").to_dict()))

    def resume(self) -> None:
        self.run(steps.RESUME, lifecycle.resume_args(self.job.id, keys.TRAINING))

    def resend(self) -> None:
        elapse(self.redis, lifecycle.RESEND_SECONDS + 1)
        self.book.lost_messages()

    @property
    def condition(self) -> Condition:
        fields = self.redis.hgetall(keys.job(self.job.id))
        if not fields:
            return Condition.ABSENT
        if "awaits" in fields:
            return Condition.AWAITING
        stopping = fields["state"] == JobState.RUNNING and "cancel_requested" in fields
        return Condition.STOPPING if stopping else Condition(str(fields["state"]))

    @property
    def everything(self) -> dict[str, Any]:
        """All that Redis knows, times left out."""
        names = sorted(map(str, self.redis.keys("*")))
        return {name: self._content(name) for name in names}

    def _content(self, name: str) -> Any:
        kind = self.redis.type(name)
        if kind == "hash":
            return self.redis.hgetall(name)
        if kind == "zset":
            return self.redis.zrange(name, 0, -1)
        if kind == "set":
            return self.redis.smembers(name)
        return self.redis.lrange(name, 0, -1) if kind == "list" else self.redis.xlen(name)


WAYS: dict[Condition, tuple[Step, ...]] = {
    Condition.ABSENT: (),
    Condition.QUEUED: (Step.CREATE,),
    Condition.RUNNING: (Step.CREATE, Step.START),
    Condition.STOPPING: (Step.CREATE, Step.START, Step.CANCEL),
    Condition.AWAITING: (Step.CREATE, Step.START, Step.AWAIT),
    Condition.SUCCEEDED: (Step.CREATE, Step.START, Step.SUCCEED),
    Condition.FAILED: (Step.CREATE, Step.START, Step.FAIL),
    Condition.CANCELLED: (Step.CREATE, Step.CANCEL),
}
STEPS = [step for step in Step if step is not Step.DELETE]  # tests/service/test_sweeper.py


@pytest.fixture
def bench(redis_url: str) -> Bench:
    return Bench(redis_url)


def lead_to(bench: Bench, condition: Condition) -> None:
    for step in WAYS[condition]:
        bench.take(step)
    assert bench.condition is condition


@pytest.mark.parametrize("condition", Condition, ids=str)
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_each_step_does_in_each_state_what_the_table_says(bench: Bench, step: Step, condition: Condition) -> None:
    lead_to(bench, condition)
    cell = TABLE[step][condition]
    before = bench.everything
    bench.take(step)
    assert bench.condition in cell.to
    if cell.does == "nothing":
        assert bench.everything == before
    if len(cell.to) == 1 or condition is Condition.AWAITING:  # tests/core/state/test_children.py
        return
    reached = {bench.condition}
    for _ in range(steps.MAX_ATTEMPTS):
        bench.take(Step.START)
        bench.take(step)
        reached.add(bench.condition)
    assert reached == cell.to


@pytest.mark.parametrize("condition", Condition, ids=str)
@pytest.mark.parametrize("step", sorted(OF_AN_ATTEMPT), ids=str)
def test_a_step_of_another_attempt_does_nothing_in_any_state(bench: Bench, step: Step, condition: Condition) -> None:
    lead_to(bench, condition)
    before = bench.everything
    for number in (bench.attempt.number, bench.attempt.number + 1):
        bench.attempt = Attempt(bench.job.id, number, NOBODY)
        bench.take(step)
        assert bench.everything == before


@pytest.mark.parametrize("state", [state for state in JobState if state.final], ids=str)
def test_ends_are_told_and_counted_once(bench: Bench, state: JobState) -> None:
    lead_to(bench, Condition(state))
    assert bench.redis.zrange(keys.FINISHED, 0, -1) == [bench.job.id]
    for queue in (keys.waiting, keys.running, keys.resend):
        assert bench.redis.zcard(queue(keys.TRAINING)) == 0
    entries: Any = bench.redis.xrange(keys.events(bench.job.id))
    assert [fields["data"] for _, fields in entries].count(f'"{state}"') == 1


def test_every_cell_says_what_happens() -> None:
    assert set(TABLE) == set(Step)
    assert all(set(cells) == set(Condition) and all(cell.does for cell in cells.values()) for cells in TABLE.values())


def test_a_lease_that_has_not_expired_is_left_alone(bench: Bench) -> None:
    """A reaper looks for expired leases first, and one of them may be renewed before its next step."""
    lead_to(bench, Condition.RUNNING)
    before = bench.everything
    assert bench.run(steps.EXPIRE, lifecycle.expire_args(bench.job.id, keys.TRAINING)) is None
    assert bench.everything == before


def test_each_metric_is_in_a_list_that_is_never_trimmed(bench: Bench) -> None:
    lead_to(bench, Condition.RUNNING)
    bench.book.report(bench.attempt, "metric", {"epoch": 1})
    bench.book.report(bench.attempt, "log", {"message": "m"})
    assert bench.redis.lrange(keys.metrics(bench.job.id), 0, -1) == ['{"epoch": 1}']


def test_a_resumed_run_is_no_finished_job_and_its_failures_count_anew(bench: Bench) -> None:
    lead_to(bench, Condition.RUNNING)
    bench.take(Step.RELEASE)
    bench.take(Step.START)
    bench.take(Step.FAIL)
    bench.take(Step.RESUME)
    assert bench.redis.zcard(keys.FINISHED) == 0
    for _ in range(steps.MAX_ATTEMPTS - 1):
        bench.take(Step.START)
        bench.take(Step.RELEASE)
        assert bench.condition is Condition.QUEUED
    bench.take(Step.START)
    bench.take(Step.RELEASE)
    assert bench.condition is Condition.FAILED


def test_a_withdrawn_request_frees_its_idempotency_key(bench: Bench) -> None:
    key = keys.idempotency("k")
    bench.run(steps.CREATE, lifecycle.create_args(bench.job, keys.TRAINING, 10, key))
    assert bench.redis.get(key) == bench.job.id
    bench.take(Step.WITHDRAW)
    assert bench.redis.get(key) is None


def test_running_jobs_count_for_the_limit_of_the_queue(bench: Bench) -> None:
    lead_to(bench, Condition.RUNNING)
    for limit, outcome in ((1, "full"), (2, "created")):
        other = Job(id=new_job_id(), kind="training", created_at=0.0)
        assert bench.run(steps.CREATE, lifecycle.create_args(other, keys.TRAINING, limit))[0] == outcome
