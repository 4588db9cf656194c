"""A protocol that trains, with a real Redis, store and child: its runs are made once, read, and cleaned up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from core.datasets import Split, dataset_key
from core.errors import Cancelled, TrainingFailed
from core.records import Job, JobKind
from core.registry import CARD, Version
from core.state import keys, lifecycle, steps
from tests.core.protocols.scenes import ID, dataset_of
from tests.worker.jobs.clock import elapse
from tests.worker.training.job.acting_child import card_of
from tests.worker.training.job.test_runner import PATIENCE, Bench, until
from worker.children.fork_server import ForkServer
from worker.jobs.attempt import Awaits, run_job
from worker.jobs.cancellation import RunningJobs
from worker.training.job.runner import evaluation_key

CURVE: dict[str, Any] = {"dataset": ID, "protocol": "k-shot", "shots": [1, 2], "seeds": [0]}


class Protocols(Bench):
    """The training runs are acted; the child that writes the report is real."""

    def __init__(self, client: redis.Redis, folder: Path, server: ForkServer) -> None:
        super().__init__(client, folder, server)
        with self.store.stage_tree() as tree:
            (tree / "clips").mkdir()
            counts = dict.fromkeys(("jump", "run", "sit", "walk"), (2, 1))
            other: dict[str, Split] = {"jump/test0": "train", "run/test0": "train", "run/train0": "test"}
            (tree / "dataset.json").write_text(dataset_of(counts, {"2": other}).model_dump_json())
            self.store.publish_tree(tree, dataset_key(ID), "dataset.json")

    def waits(self, job: Job) -> list[Job]:
        """The job's attempt waits for these."""
        with pytest.raises(Awaits) as caught:
            self.attempt(job)
        return list(caught.value.children)

    def runs_of(self, job: Job) -> list[Job]:
        """The runs of a job that waits already, in their order."""
        found = [self.book.get(str(name)) for name in self.client.zrange(keys.JOBS, 0, -1)]
        return [child for child in found if child is not None and child.parent == job.id]

    def do(self, job: Job) -> None:
        """A whole attempt, as a worker makes it."""
        run_job({"evaluation": self.runner.evaluate}, self.book, RunningJobs(), job.id)

    def trained(self, child: Job, top1: float = 0.5, number: int | None = None) -> Version:
        """The child ends with a version, as the training handler would."""
        attempt = self.book.start(child.id)
        assert attempt is not None
        version = Version(child.request["name"], number or self.book.claim_version(attempt, child.request["name"], 0))
        views = {"1x1": {"top1": top1, "clips": 4}}
        with self.store.stage_tree() as tree:
            made = card_of(child.id, version.name, version.version)
            made = made.model_copy(update={"metrics": {"split": "test", "views": views, "before": views["1x1"]}})
            (tree / CARD).write_text(made.model_dump_json())
            self.registry.publish(tree, version)
        assert self.book.succeed(attempt, {})
        return version

    def ended(self, job: Job) -> Job:
        found = self.book.get(job.id)
        assert found is not None
        return found


@pytest.fixture
def bench(records: redis.Redis, tmp_path: Path, working: ForkServer) -> Protocols:
    """Its children sum up in words and pictures."""
    return Protocols(records, tmp_path, working)


@pytest.fixture
def acting_bench(records: redis.Redis, tmp_path: Path, acting: ForkServer) -> Protocols:
    return Protocols(records, tmp_path, acting)


def test_a_protocol_makes_its_runs_waits_and_sums_up(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE)
    bench.do(job)
    first, second = (bench.ended(child) for child in bench.runs_of(job))
    assert [(child.parent, child.kind, child.state) for child in (first, second)] == [
        (job.id, "training", "queued"),
        (job.id, "training", "queued"),
    ]
    assert [child.request["shots"] for child in (first, second)] == [1, 2]
    bench.trained(first, 0.25)
    assert bench.ended(job).state == "running"
    version = bench.trained(second, 0.75)
    assert bench.ended(job).state == "queued"
    bench.do(job)
    result = bench.ended(job).result
    assert result is not None
    tops = {row["name"]: row["numbers"]["top1"]["mean"] for row in result["protocol"]["rows"]}
    assert tops == {"0 shots": 0.25, "1 shot": 0.25, "2 shots": 0.75}
    assert (result["model"], result["split"], result["evaluation"]) == ("tiny", "test", job.id)
    assert bench.store.exists(f"{evaluation_key(job.id)}/protocol.png")
    assert bench.registry.versions(version.name) == []  # nobody asked to keep them


def test_a_worker_that_is_killed_while_it_sums_up_runs_nothing_again(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE)
    children = bench.waits(job)
    bench.do(job)
    for child in children:
        bench.trained(child)
    attempt = bench.book.start(job.id)  # kill -9: its lease runs out
    assert attempt is not None
    elapse(bench.client, bench.book.lease + 1)
    assert bench.book.expire_leases() == {job.id: "queued"}
    first = bench.attempt(job)  # this one dies after the report is published and the versions are deleted
    bench.do(job)
    assert bench.ended(job).result == first
    assert {bench.ended(child).attempts for child in children} == {1}
    assert bench.client.zcard(keys.waiting(keys.TRAINING)) == 0


def test_a_repeated_attempt_waits_for_the_same_runs(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE)
    children = bench.waits(job)
    assert [child.id for child in bench.waits(job)] == [child.id for child in children]
    other = bench.job("tiny", "evaluation", **CURVE)
    assert not {child.id for child in bench.waits(other)} & {child.id for child in children}


def test_runs_belong_to_the_project_of_the_protocol(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE).model_copy(update={"project": "acme"})
    assert {child.project for child in bench.waits(job)} == {"acme"}


def test_versions_are_kept_where_a_name_is_given(bench: Protocols) -> None:
    bench.publish("job_other", "curve", 1)
    job = bench.job("tiny", "evaluation", **CURVE | {"name": "curve"})
    children = bench.waits(job)
    bench.do(job)
    for number, child in enumerate(children, 2):
        bench.trained(child, number=number)
    bench.do(job)
    result = bench.ended(job).result
    assert result is not None
    assert [draw["model"] for draw in result["protocol"]["draws"]] == ["tiny", "curve:2", "curve:3"]
    assert bench.registry.versions("curve") == [1, 2, 3]


def test_a_run_that_failed_is_named(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE)
    first, second = bench.waits(job)
    bench.do(job)
    attempt = bench.book.start(first.id)
    assert attempt is not None
    bench.book.fail(attempt, TrainingFailed("The loss is not a number."))
    bench.do(job)
    found = bench.ended(job)
    assert (found.state, bench.ended(second).state) == ("failed", "cancelled")
    assert found.error is not None
    assert "'1 shot, seed 0' has failed" in found.error["message"]
    assert "not a number" in found.error["message"]
    assert found.error["details"]["job"] == first.id


def test_a_version_that_was_deleted_meanwhile_is_no_endless_wait(bench: Protocols) -> None:
    job = bench.job("tiny", "evaluation", **CURVE)
    children = bench.waits(job)
    bench.do(job)
    for child in children:
        bench.registry.delete(bench.trained(child))
    bench.do(job)
    assert "was deleted" in (bench.ended(job).error or {})["message"]


def test_a_sweep_deletes_the_versions_of_protocols_that_have_ended(bench: Protocols) -> None:
    running, cancelled = (bench.job("tiny", "evaluation", **CURVE) for _ in range(2))
    for job in (running, cancelled):
        children = bench.waits(job)
        bench.do(job)
        bench.trained(children[0])
    attempt = bench.book.start(bench.runs_of(cancelled)[1].id)
    assert attempt is not None
    bench.book.fail(attempt, Cancelled("stop"))
    bench.do(cancelled)
    bench.runner.sweep()
    assert bench.registry.names() == [f"protocol-{running.id.removeprefix('job_')}"]


def test_cancelling_a_protocol_stops_the_run_that_is_under_way(acting_bench: Protocols) -> None:
    job = acting_bench.job("tiny", "evaluation", **CURVE | {"name": "waits"})
    first, second = acting_bench.waits(job)
    acting_bench.do(job)
    running = RunningJobs()
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(run_job, {"training": acting_bench.runner.train}, acting_bench.book, running, first.id)
        until(lambda: first.id in acting_bench.checkpoints.jobs())
        script_keys, args = lifecycle.cancel_args(job.id, keys.TRAINING, Cancelled("stop").to_dict())
        acting_bench.client.register_script(steps.CANCEL)(keys=script_keys, args=args)
        assert (acting_bench.ended(job).state, acting_bench.ended(second).state) == ("running", "cancelled")
        running.observe(acting_bench.book.renew_leases(running.attempts))  # the heartbeat of its worker
        work.result(PATIENCE)
    assert (acting_bench.ended(job).state, acting_bench.ended(first).state) == ("cancelled", "cancelled")
    assert acting_bench.client.zcard(keys.waiting(keys.TRAINING)) == 0
    assert acting_bench.client.zcard(keys.running(keys.TRAINING)) == 0


@pytest.mark.parametrize("kind", ["training", "evaluation", "preview"])
def test_a_child_is_told_the_dataset_as_the_split_column_divides_it(acting_bench: Protocols, kind: JobKind) -> None:
    acting_bench.attempt(acting_bench.job("publishes", kind, dataset=ID, split_column="2"))
    (spec,) = acting_bench.specs
    assert [(item["path"], item["split"]) for item in spec["dataset"]["items"]] == [
        ("jump/test0", "train"),
        ("run/train0", "test"),
        ("run/test0", "train"),
    ]
    assert [counted["name"] for counted in spec["dataset"]["classes"]] == ["jump", "run"]
