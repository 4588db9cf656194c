"""One attempt at a run, with a real child process, Redis and store: what is published, kept and removed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from core.datasets import Item, Split, dataset_key
from core.errors import Cancelled, StorageUnavailable, TrainingFailed, UnknownDataset
from core.records import Job, JobKind, new_job_id
from core.registry import CARD, Registry, Version
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt
from core.storage import Store, Upkeep
from tests.worker.training.job.acting_child import card_of
from tests.worker.training.job.no_clips import NO_CLIPS
from worker.children.fork_server import ForkServer
from worker.jobs import patience
from worker.jobs.attempt import Interrupted
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter
from worker.training.features.files import FeatureFiles
from worker.training.job import child_process
from worker.training.job.checkpoints import Checkpoints
from worker.training.job.runner import Runner, evaluation_key

Work = Callable[[Job, CancelToken, Reporter], dict[str, Any]]
LOADS = """
import time
from pathlib import Path

Path(__file__).with_name("began").touch()
time.sleep(600)
"""
PATIENCE = 120.0  # seconds; much longer than any step takes


class Bench:
    """A training worker without Celery."""

    def __init__(self, client: redis.Redis, folder: Path, server: ForkServer) -> None:
        self.client, self.folder = client, folder
        self.settings = Settings(data_dir=folder)
        self.store = Store.from_settings(self.settings)
        self.registry, self.checkpoints = Registry(self.store), Checkpoints(self.store)
        self.book = JobBook(client, keys.TRAINING)
        self.runner = Runner(self.settings, self.store, self.book, server)
        self.token = CancelToken()
        with self.store.stage_tree() as tree:
            (tree / "clips").mkdir()
            (tree / "dataset.json").write_text(NO_CLIPS.model_dump_json())
            self.store.publish_tree(tree, dataset_key(NO_CLIPS.id), "dataset.json")

    def job(self, name: str, kind: JobKind = "training", /, **options: Any) -> Job:
        field = {"evaluation": "model", "comparison": "candidate"}.get(kind, "name")
        fields = {field: name}
        request = {"dataset": NO_CLIPS.id} | fields | options
        job = Job(id=new_job_id(), kind=kind, request=request, created_at=time.time(), request_id="req_1")
        script_keys, args = lifecycle.create_args(job, keys.TRAINING, 10)
        self.client.register_script(steps.CREATE)(keys=script_keys, args=args)
        return job

    def attempt(self, job: Job) -> dict[str, Any]:
        """The next attempt at the job. Its worker dies afterwards: the job waits again, and its result is lost."""
        attempt = self.book.start(job.id)
        assert attempt is not None
        try:
            return self._work(job, attempt)
        finally:
            self.book.release(attempt, counts_as_failure=False)

    def _work(self, job: Job, attempt: Attempt) -> dict[str, Any]:
        reporter = Reporter(self.book, attempt, self.token)
        works: dict[str, Work] = {
            "training": self.runner.train,
            "preview": self.runner.preview,
            "evaluation": self.runner.evaluate,
            "comparison": self.runner.compare,
        }
        return works[job.kind](job, self.token, reporter)

    def publish(self, job: str, name: str, number: int, **changes: Any) -> None:
        with self.store.stage_tree() as tree:
            (tree / CARD).write_text(card_of(job, name, number).model_copy(update=changes).model_dump_json())
            self.registry.publish(tree, Version(name, number))

    @property
    def specs(self) -> list[dict[str, Any]]:
        """What each child was told."""
        file = self.folder / "specs.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def left(self) -> set[str]:
        """What lies in the directory of runs; `frames` stands for the frames of a job."""
        return {
            "frames" if path.name.startswith("frames-") else path.name for path in self.settings.training_dir.iterdir()
        }


@pytest.fixture
def bench(records: redis.Redis, tmp_path: Path, acting: ForkServer) -> Bench:
    return Bench(records, tmp_path, acting)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_is_published_once_even_if_its_worker_dies_before_it_says_so(bench: Bench) -> None:
    bench.publish("job_other", "publishes", 1)
    job = bench.job("publishes")
    first = bench.attempt(job)
    assert (first["model"], first["version"], first["classes"]) == ("publishes:2", 2, ["a", "b"])
    assert bench.registry.card(Version("publishes", 2)).job == job.id
    assert bench.attempt(job) == first
    assert (bench.registry.versions("publishes"), len(bench.specs)) == ([1, 2], 1)
    assert (bench.specs[0]["job"], bench.specs[0]["request_id"]) == (job.id, "req_1")  # for the child's log lines
    assert (bench.left, bench.checkpoints.jobs()) == (set(), set())


def test_the_number_of_a_version_that_another_job_has_published_is_not_taken_for_ones_own(bench: Bench) -> None:
    job = bench.job("publishes")
    bench.client.hset(keys.job(job.id), "version", 1)  # claimed, and then a job of another Redis was quicker
    bench.publish("job_other", "publishes", 1)
    assert bench.attempt(job)["model"] == "publishes:2"
    assert len(bench.specs) == 1


def test_a_run_whose_child_died_goes_on_from_its_checkpoint_with_its_frames(bench: Bench) -> None:
    job = bench.job("dies")
    for _ in range(2):
        with pytest.raises(Interrupted, match="without a result"):
            bench.attempt(job)
        assert bench.left == {"frames"}
    first, second = bench.specs
    assert (first["checkpoint"], first["frames"]) == (None, second["frames"])
    assert second["checkpoint"] is not None
    assert bench.checkpoints.fetch(job.id, bench.folder / "fetched.pt")
    assert (bench.folder / "fetched.pt").read_text() == "step 1 and step 1"


def test_a_run_that_died_before_its_first_checkpoint_starts_again(bench: Bench) -> None:
    job = bench.job("dies-early")
    for _ in range(2):
        with pytest.raises(Interrupted):
            bench.attempt(job)
    assert [spec["checkpoint"] for spec in bench.specs] == [None, None]


def test_a_run_that_died_while_publishing_publishes_once_under_its_first_number(bench: Bench) -> None:
    job = bench.job("dies-publishing")
    with pytest.raises(Interrupted):
        bench.attempt(job)
    assert bench.registry.versions("dies-publishing") == []
    bench.publish("job_other", "dies-publishing", 2)  # another job has the next number
    assert bench.attempt(job)["model"] == "dies-publishing:1"
    assert bench.registry.versions("dies-publishing") == [1, 2]


def test_the_error_of_a_run_counts_and_not_its_result(bench: Bench) -> None:
    with pytest.raises(TrainingFailed, match="not finite"):
        bench.attempt(bench.job("fails"))
    assert bench.left == set()
    assert bench.registry.versions("fails") == []


def test_a_cancelled_run_can_be_resumed(bench: Bench) -> None:
    job = bench.job("waits")
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(bench.attempt, job)
        until(lambda: bench.checkpoints.jobs() == {job.id})
        bench.token.cancel()
        with pytest.raises(Cancelled) as caught:
            attempt.result(PATIENCE)
    assert f"/v1/training-jobs/{job.id}/resume" in (caught.value.hint or "")
    assert bench.checkpoints.jobs() == {job.id}


def test_a_run_is_cancelled_while_the_fork_server_loads(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "loads.py"
    program.write_text(LOADS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(child_process, "FORK_SERVER", "loads")
        patched.setenv("PYTHONPATH", str(tmp_path))
        server = child_process.start_fork_server()
    slow = Bench(bench.client, tmp_path / "slow", server)
    job = slow.job("waits")
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(slow.attempt, job)
        until((tmp_path / "began").exists)
        slow.token.cancel()
        with pytest.raises(Cancelled):
            attempt.result(PATIENCE)
    server.close()


def test_a_run_whose_fork_server_dies_is_started_again(bench: Bench, acting: ForkServer) -> None:
    job = bench.job("waits")
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(bench.attempt, job)
        until(lambda: bench.checkpoints.jobs() == {job.id})
        os.kill(acting.pid or 0, signal.SIGKILL)
        with pytest.raises(Interrupted, match="fork server died"):
            attempt.result(PATIENCE)
    assert bench.attempt(bench.job("publishes"))["version"] == 1


def test_a_child_is_told_the_version_that_an_alias_means(bench: Bench) -> None:
    for number in (1, 2):
        bench.publish("job_other", "gym", number)
    bench.registry.set_alias("gym", "production", 1)
    bench.attempt(bench.job("publishes", base="gym@production"))
    bench.attempt(bench.job("publishes", base="lite"))
    version, zoo = bench.specs
    assert (version["model"], version["version"] is None) == ("gym:1", False)
    assert (zoo["model"], zoo["version"]) == ("lite", None)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_a_disk_that_is_full_for_a_while_costs_a_finished_run_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: JobKind
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    copied, full = shutil.copyfile, iter([True, True, False])

    def copyfile(source: Path, target: Path) -> object:
        if "partial" in target.parts and next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copied(source, target)

    job = bench.job("publishes", kind)
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    bench.attempt(job)
    assert next(full, "all were tried") == "all were tried"
    assert len(bench.specs) == 1  # it was not trained again
    if kind == "training":
        assert bench.registry.versions("publishes") == [1]
    else:
        assert bench.store.exists(f"{evaluation_key(job.id)}/report.json")
    assert list(bench.store._files.partial.directory.glob("*.part")) == []


def test_a_disk_that_stays_full_is_named_with_the_way_to_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    job = bench.job("publishes")

    def full(_: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC if "partial" in target.parts else errno.ENOENT, "No space left on device")

    with monkeypatch.context() as while_full:
        while_full.setattr(shutil, "copyfile", full)
        with pytest.raises(StorageUnavailable, match="No space left") as caught:
            bench.attempt(job)
    assert f"/v1/training-jobs/{job.id}/resume" in (caught.value.hint or "")
    assert bench.attempt(job)["version"] == 1


def test_an_evaluation_is_published_once(bench: Bench) -> None:
    job = bench.job("lite", "evaluation")
    for _ in range(2):
        assert bench.attempt(job)["evaluation"] == job.id
    assert bench.store.read_text(f"{evaluation_key(job.id)}/report.json") == '"lite"'


def learned(bench: Bench, letter: str) -> dict[str, Any]:
    """A dataset with a train clip and a val clip → what a card says about it."""
    splits: tuple[Split, Split] = ("train", "val")
    items = [Item(path=s, sha256=f"{letter}-{s}", label="a", split=s, seconds=1.0) for s in splits]
    dataset = NO_CLIPS.model_copy(update={"id": f"ds_{letter * 24}", "items": tuple(items)})
    bench.store.write_text(f"{dataset_key(dataset.id)}/dataset.json", dataset.model_dump_json())
    return {"dataset": {"id": dataset.id}}


def test_compared_models_are_not_judged_on_what_they_have_learned_from(bench: Bench) -> None:
    """Nor on what the versions have that they were trained from."""
    bench.publish("job_1", "gym", 1, base="lite", **learned(bench, "a"))
    bench.publish("job_2", "gym", 2, base="gym:1", **learned(bench, "b"))
    bench.publish("job_3", "gym", 3, base="gym:9", dataset={"id": "ds_" + "c" * 24})  # both are deleted
    assert bench.attempt(bench.job("lite", "comparison", standing="gym:2")) == {"other": True}
    assert bench.attempt(bench.job("gym:3", "comparison", standing="clip-b16")) == {"other": False}
    first, second = bench.specs
    assert (first["model"], first["version"], sorted(first["trained_on"])) == ("lite", None, ["a-train", "b-train"])
    assert (second["model"], second["other"], second["trained_on"]) == ("gym:3", None, [])


def test_a_dataset_that_was_deleted_is_named(bench: Bench) -> None:
    missing = "ds_" + "1" * 24
    with pytest.raises(UnknownDataset, match=missing):
        bench.attempt(bench.job("publishes", dataset=missing))
    assert bench.left == set()


def test_a_sweep_removes_what_nobody_needs_and_nothing_else(bench: Bench) -> None:
    runs = bench.settings.training_dir
    waiting, gone, running = bench.job("dies"), new_job_id(), bench.job("waits")
    for job_id in (waiting.id, gone):
        (runs / f"frames-{job_id}").mkdir(parents=True)
        (runs / f"{job_id}-1-dead").mkdir()
        (bench.folder / "checkpoint.pt").write_text("step 7")
        bench.checkpoints.save(bench.folder / "checkpoint.pt", job_id, 1)
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(bench.attempt, running)
        until(lambda: running.id in bench.checkpoints.jobs())
        bench.runner.sweep()
        names = {path.name for path in runs.iterdir()}
        bench.token.cancel()
        with pytest.raises(Cancelled):
            attempt.result(PATIENCE)
    (live,) = (name for name in names if name.startswith(running.id))
    assert names == {live, f"frames-{waiting.id}", f"frames-{running.id}"}
    assert bench.checkpoints.jobs() == {waiting.id, running.id}


def test_features_go_with_their_dataset_on_a_machine_that_only_looks(bench: Bench) -> None:
    features = FeatureFiles.of(bench.settings, "default")
    features.claim(NO_CLIPS.id, ["0" * 64])
    features.write("0" * 64, "kind", b"0123")
    upkeep = Upkeep("the sweep of features", bench.runner.sweep_features, 0.01)
    upkeep.start()
    time.sleep(0.05)
    assert features.read("0" * 64, "kind") == bytearray(b"0123")
    bench.store.delete_tree(dataset_key(NO_CLIPS.id), marker="dataset.json")
    until(lambda: not any(path.is_file() for path in bench.settings.features_dir.rglob("*")))
    upkeep.stop()


def test_the_frames_of_a_job_that_has_ended_are_swept(bench: Bench) -> None:
    job = bench.job("dies")
    frames = bench.settings.training_dir / f"frames-{job.id}"
    frames.mkdir(parents=True)
    attempt = bench.book.start(job.id)
    assert attempt is not None
    bench.runner.sweep()
    assert frames.exists()
    bench.book.succeed(attempt, {})
    bench.runner.sweep()
    assert not frames.exists()


def test_the_alias_moves_to_a_version_that_was_found_better(bench: Bench) -> None:
    first = bench.attempt(bench.job("publishes", promote="production"))
    assert first["promotion"]["standing"] is None
    assert bench.registry.aliases("publishes") == {"production": 1}
    second = bench.attempt(bench.job("publishes", promote="production"))
    assert second["promotion"]["standing"] == 1
    assert bench.registry.aliases("publishes") == {"production": 2}
    third = bench.attempt(bench.job("publishes", promote="hopeless"))
    assert not third["promotion"]["promoted"]
    assert bench.registry.aliases("publishes") == {"production": 2}
