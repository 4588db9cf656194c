"""The life of jobs among workers, reapers, a gateway and users, in random orders, against a real Redis.

After every step: no job is lost, none ends twice, no attempt speaks for another, no healthy worker loses a job. At the
end, with one living worker and time that passes, every job reaches a final state.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.errors import Conflict, QueueFull, StorageUnavailable
from core.records import JobState
from core.state import keys, lifecycle
from tests.worker.jobs.world import QUEUE, Attempt, Command, Line, PrivateRedis, Question, Worker, World, line
from worker.jobs.cancellation import StopReason

FINAL = [state for state in JobState if state.final]
FOLLOWS: dict[str, set[str]] = {  # state in a job's story → the states that may come next; "" is the beginning
    "": {"running", "cancelled", "failed"},
    "queued": {"running", "cancelled", "failed"},
    "running": {"queued", "succeeded", "failed", "cancelled"},
    "succeeded": set(),
    "failed": {"queued"},
    "cancelled": {"queued"},
}
COMMANDS: list[Command] = ["report", "metric", "checkpoint", "look", "succeed", "fail", "interrupt", "await"]
LINES: list[Line] = ["up", "up", "up", "reply lost", "down"]
MOST_ATTEMPTS = 6  # at the same time, in all workers


class JobsMachine(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    workers = st.integers(0, 2)
    picks = st.integers(0, MOST_ATTEMPTS - 1)

    def __init__(self, server: PrivateRedis) -> None:
        super().__init__()
        self.world = World(server)
        self.accepted: list[str] = []
        self.resumed: dict[str, int] = {}
        self.restarts = 0

    @initialize(target=jobs)
    def first_job(self) -> str:
        return self._create("up")

    # the gateway and its users

    @rule(target=jobs, broker=st.sampled_from(["up", "up", "down", "unsure", "started"]))
    def submit(self, broker: str) -> str:
        return self._create(broker)

    def _create(self, broker: str) -> str:
        """Returns the id of an accepted job: the new one, or an earlier one if the new one was refused."""
        world = self.world
        world.sender.state = "unsure" if broker == "started" else broker  # type: ignore[assignment]
        world.sender.meanwhile = self._deliver_newest if broker == "started" else lambda: None
        try:
            job, _ = world.gateway(world.jobs.create("training", Question()))
            world.gateway(world.jobs.send(job))
        except (QueueFull, StorageUnavailable, redis.RedisError):  # a refused request is no accepted job
            return self.accepted[0]
        finally:
            world.sender.state = "up"
        self.accepted.append(job.id)
        return str(job.id)

    def _deliver_newest(self) -> None:
        message = str(self.world.redis.lpop(QUEUE))
        self.world.put_message(message)
        self._handle(self.world.workers[0], self.world.take_message()[1], "up")

    @rule(job=jobs, heard=st.booleans())
    def cancel(self, job: str, heard: bool) -> None:
        with suppress(redis.RedisError):  # the user gets 503
            record = self.world.gateway(self.world.jobs.get(job))
            self.world.gateway(self.world.jobs.cancel(record))
        for worker in self.world.workers:
            if heard and not worker.frozen:
                worker.running.cancel(job)

    @rule(job=jobs)
    def resume(self, job: str) -> None:
        self.resumed[job] = self.resumed.get(job, 0) + 1
        try:
            record = self.world.gateway(self.world.jobs.get(job))
            self.world.gateway(self.world.jobs.resume(record))
        except Conflict:
            self.resumed[job] -= 1
        except (redis.RedisError, StorageUnavailable):  # the user gets 503, and the step may have been taken or not
            return

    # messages

    @precondition(lambda self: self.world.messages() and len(self.world.attempts) < MOST_ATTEMPTS)
    @rule(worker=workers, state=st.sampled_from(LINES))
    def deliver(self, worker: int, state: Line) -> None:
        self._handle(self.world.workers[worker], self.world.take_message()[1], state)

    @precondition(lambda self: self.world.messages())
    @rule(again=st.booleans())
    def lose_messages(self, again: bool) -> None:
        """`again`: those that are sent instead are lost as well."""
        self.world.redis.delete(QUEUE)
        if again:
            self.world.pass_time(2 * lifecycle.RESEND_SECONDS + 1)
            self.world.redis.delete(QUEUE)

    @precondition(lambda self: self.world.messages())
    @rule()
    def double_message(self) -> None:
        message, _ = self.world.take_message()
        self.world.put_message(message)
        self.world.put_message(message)

    @rule(job=jobs)
    def stray_message(self, job: str) -> None:
        self.world.send(job)

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks)
    def second_message(self, pick: int) -> None:
        """The worker of a running job gets its message again."""
        attempts = self.world.attempts
        attempt = attempts[pick % len(attempts)]
        self._handle(attempt.worker, attempt.job_id, "up")

    # workers

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks, command=st.sampled_from(COMMANDS), state=st.sampled_from(LINES))
    def command(self, pick: int, command: Command, state: Line) -> None:
        attempts = self.world.attempts
        self._command(attempts[pick % len(attempts)], command, state)

    @rule(worker=workers)
    def kill_worker(self, worker: int) -> None:
        self.world.workers[worker].crash()

    @rule(worker=workers)
    def stop_worker(self, worker: int) -> None:
        """SIGTERM: its attempts notice, and a new process takes its place."""
        stopping = self.world.workers[worker]
        stopping.running.release_all()
        for attempt in list(stopping.attempts):
            self._command(attempt, "look", "up")
        stopping.crash()

    @rule(worker=workers)
    def freeze_worker(self, worker: int) -> None:
        """It cannot reach Redis, or its host sleeps; nothing of it ends."""
        frozen = self.world.workers[worker]
        frozen.frozen = True
        for attempt in frozen.attempts:
            attempt.safe = False

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks)
    def supersede(self, pick: int) -> None:
        """The late attempt may wake up at any time."""
        self._supersede(pick)

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks, command=st.sampled_from(COMMANDS))
    def act_late(self, pick: int, command: Command) -> None:
        """The late attempt acts before its worker has sent a heartbeat."""
        self._command(self._supersede(pick), command, "up")

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks)
    def beat_late(self, pick: int) -> None:
        self._late_heartbeat(self._supersede(pick))

    def _supersede(self, pick: int) -> Attempt:
        """An attempt's worker freezes for so long that another worker starts the job."""
        late = self.world.attempts[pick % len(self.world.attempts)]
        self.freeze_worker(self.world.workers.index(late.worker))
        other = self.world.workers[(self.world.workers.index(late.worker) + 1) % 3]
        other.frozen = False
        self.world.pass_time(lifecycle.LEASE_SECONDS + 1)
        if self.world.record(late.job_id)["state"] == JobState.QUEUED:
            self._handle(other, late.job_id, "up")
        return late

    def _late_heartbeat(self, late: Attempt) -> None:
        late.worker.frozen = False
        before = self.world.snapshot(late.job_id)
        with late.worker.acting():
            late.worker.beat()
        assert self.world.snapshot(late.job_id) == before, "a heartbeat renewed the lease of another attempt"
        assert late.over or (late.token and late.token.reason), "a heartbeat said nothing about a lost job"

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks)
    def cancel_unheard(self, pick: int) -> None:
        """The message about a cancel is lost. The next heartbeat tells the attempt."""
        attempt = self.world.attempts[pick % len(self.world.attempts)]
        self.cancel(attempt.job_id, heard=False)
        if not attempt.worker.frozen and self.world.belongs_to(attempt):
            with attempt.worker.acting():
                attempt.worker.beat()
            pending = "cancel_requested" in self.world.record(attempt.job_id)
            assert not pending or (attempt.token and attempt.token.reason), "a pending cancel did not reach the attempt"

    @precondition(lambda self: any(worker.frozen for worker in self.world.workers))
    @rule(worker=workers)
    def thaw_worker(self, worker: int) -> None:
        self.world.workers[worker].frozen = False

    @rule(worker=workers)
    def reap(self, worker: int) -> None:
        self._reap(self.world.workers[worker])

    @precondition(lambda self: self.world.attempts)
    @rule(pick=picks, worker=workers, ends=st.lists(st.sampled_from(["succeed", "fail"]), min_size=1, max_size=2))
    def wait_for_children(self, pick: int, worker: int, ends: list[Command]) -> None:
        """An attempt makes children, and a worker ends some of them."""
        parent = self.world.attempts[pick % len(self.world.attempts)]
        self._command(parent, "await", "up")
        for number, end in enumerate(ends):
            child = f"{parent.job_id}-{number}"
            if self.world.record(child) and not self.world.workers[worker].frozen:
                self._handle(self.world.workers[worker], child, "up")
                for attempt in [each for each in self.world.attempts if each.job_id == child]:
                    self._command(attempt, end, "up")

    # the world

    @rule(seconds=st.sampled_from([1.0, 10.0, lifecycle.LEASE_SECONDS + 1, 2 * lifecycle.RESEND_SECONDS + 1, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        for attempt in self.world.attempts:
            if not attempt.worker.frozen and attempt.token and not attempt.token.reason:
                record = self.world.record(attempt.job_id)
                assert self.world.belongs_to(attempt), "a superseded attempt goes on after its heartbeat"
                assert "cancel_requested" not in record, "a pending cancel did not reach the attempt"

    @precondition(lambda self: self.restarts < 1)
    @rule()
    def restart_redis(self) -> None:
        self.restarts += 1
        self.world.server.crash_and_restart()

    @rule()
    def drop_connections(self) -> None:
        self.world.redis.client_kill_filter(_type="normal", skipme=True)

    # what the rules share

    def _handle(self, worker: Worker, job_id: str, state: Line) -> None:
        before = self.world.snapshot(job_id)
        with worker.acting(), line(state):
            attempt = worker.handle(job_id)
        if before[0]["state"] != JobState.QUEUED:
            assert attempt.over
            assert self.world.snapshot(job_id) == before, "a message for a job that does not wait changed it"

    def _command(self, attempt: Attempt, command: Command, state: Line) -> None:
        before = self.world.snapshot(attempt.job_id)
        mine = self.world.belongs_to(attempt)
        reason = attempt.token and attempt.token.reason
        with attempt.worker.acting(), line(state):
            attempt.command(command)
        attempt.worker.forget_ended()
        after = self.world.record(attempt.job_id)
        if not mine:
            assert self.world.snapshot(attempt.job_id) == before, "a superseded attempt changed its successor's job"
        elif after["state"] == JobState.SUCCEEDED:
            assert json.loads(after["result"]) == {"holder": attempt.holder}
        elif after["state"] == JobState.CANCELLED:
            assert reason is StopReason.CANCELLED or "cancel_requested" in before[0]

    def _reap(self, worker: Worker) -> None:
        if not worker.frozen:
            with worker.acting():
                worker.reaper.sweep()

    @property
    def everybody(self) -> list[str]:
        """The accepted jobs and their children."""
        made = (f"{job_id}-{number}" for job_id in self.accepted for number in range(2))
        return [*self.accepted, *(child for child in made if self.world.record(child))]

    # what must be true after every step

    @invariant()
    def no_job_is_lost(self) -> None:
        places = {
            JobState.QUEUED: {keys.waiting(QUEUE), keys.resend(QUEUE)},
            JobState.RUNNING: {keys.running(QUEUE)},
        } | {state: {keys.FINISHED} for state in FINAL}
        everywhere = set().union(*places.values())
        for job_id in self.everybody:
            state = JobState(self.world.record(job_id)["state"])
            found = {place for place in everywhere if self.world.redis.zscore(place, job_id) is not None}
            assert found == places[state], f"a {state} job is in {found}"

    @invariant()
    def none_ends_twice(self) -> None:
        for job_id in self.accepted:
            told = [json.loads(data) for event, data in self.world.story(job_id) if event == "state"]
            for before, after in pairwise(["", *told]):
                assert after in FOLLOWS[before], told
            restarts = sum(a in FINAL and b == "queued" for a, b in pairwise(told))
            assert restarts <= self.resumed.get(job_id, 0)
            assert (told or ["queued"])[-1] == self.world.record(job_id)["state"]

    @invariant()
    def no_healthy_worker_loses_a_job(self) -> None:
        for attempt in self.world.attempts:
            if attempt.safe and attempt.token and not attempt.token.reason:
                assert self.world.belongs_to(attempt), "a worker that renews its lease lost its job"

    def teardown(self) -> None:
        try:
            self._settle()
        finally:
            self.world.close()

    def _settle(self) -> None:
        """One worker lives, time passes, and every job reaches a final state."""
        for worker in self.world.workers:
            worker.frozen = False
        survivor = self.world.workers[1]
        for worker in self.world.workers:
            if worker is not survivor:
                worker.crash()
        for _ in range(20):
            for attempt in list(survivor.attempts):
                self._command(attempt, "look" if attempt.token and attempt.token.reason else "succeed", "up")
            while self.world.messages():
                self._handle(survivor, self.world.take_message()[1], "up")
                for attempt in list(survivor.attempts):
                    self._command(attempt, "succeed", "up")
            if all(JobState(self.world.record(job_id)["state"]).final for job_id in self.everybody):
                break
            self.world.pass_time(lifecycle.LEASE_SECONDS + 10)
            self._reap(survivor)
        states = {job_id: self.world.record(job_id)["state"] for job_id in self.everybody}
        assert all(JobState(state).final for state in states.values()), f"stuck: {states}"
        self.no_job_is_lost()
        self.none_ends_twice()


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    with tempfile.TemporaryDirectory(prefix="vireo-machine-") as directory:
        server = PrivateRedis(Path(directory))
        try:
            yield server
        finally:
            server.stop()


def test_jobs_survive_whatever_happens_to_their_workers(server: PrivateRedis) -> None:
    run_state_machine_as_test(
        cast(type[RuleBasedStateMachine], partial(JobsMachine, server)),
        settings=settings(
            max_examples=120,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_private_redis_keeps_what_it_has_acknowledged(server: PrivateRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        server.crash_and_restart()
        assert client.get("key") == b"value"
