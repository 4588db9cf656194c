"""Checkpoints are uploaded beside the messages of a run: a real child process, Redis and store (T8)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from core.errors import Cancelled, StorageUnavailable
from core.records import Job, new_job_id
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt
from core.storage import Store
from core.training_requests import TrainingRequest
from tests.worker.training.job.no_clips import NO_CLIPS
from worker.children.fork_server import ForkServer
from worker.jobs.book import JobBook, Superseded
from worker.jobs.cancellation import CancelToken, StopReason
from worker.jobs.reporter import Reporter
from worker.training.job.checkpoints import Checkpoints
from worker.training.job.child_process import Callbacks, ChildProcess
from worker.training.job.run_metrics import RunMetrics
from worker.training.spec import RunSpec

PATIENCE = 120.0  # seconds; much longer than any step takes


class SlowStore(Store):
    """A store whose uploads wait for `release`. refused: how many of them fail then."""

    def __init__(self, folder: Path, scratch: Path, refused: int = 0) -> None:
        super().__init__((folder / "store").as_uri(), folder / "spool")
        self.release = threading.Event()
        self.uploaded: list[str] = []
        self._scratch, self._refused = scratch, refused

    def publish_file(self, path: Path, key: str) -> None:
        text = path.read_text()
        (self._scratch / "upload began").touch()
        assert self.release.wait(PATIENCE)
        if self._refused:
            self._refused -= 1
            raise StorageUnavailable("The store does not answer.")
        assert path.read_text() == text, "the file belongs to the upload"
        super().publish_file(path, key)
        self.uploaded.append(text)


class Run:
    """An attempt at a job, whose child is `talking_child`."""

    def __init__(self, client: redis.Redis, folder: Path, server: ForkServer, refused: int = 0) -> None:
        self.client, self.book = client, JobBook(client, keys.TRAINING)
        self.job = Job(id=new_job_id(), kind="training", request={}, created_at=time.time())
        script_keys, args = lifecycle.create_args(self.job, keys.TRAINING, 10)
        client.register_script(steps.CREATE)(keys=script_keys, args=args)
        self.attempt = self._start()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.store = SlowStore(folder, self.scratch, refused)
        self.checkpoints = Checkpoints(self.store)
        self.token = CancelToken()
        number = self.attempt.number
        callbacks = Callbacks(lambda path: self.checkpoints.save(path, self.job.id, number), lambda: 1)
        reporter = Reporter(self.book, self.attempt, self.token)
        self.child = ChildProcess(server, self._spec(folder), self.token, reporter, callbacks, RunMetrics(None))

    def _start(self) -> Attempt:
        attempt = self.book.start(self.job.id)
        assert attempt is not None
        return attempt

    def _spec(self, folder: Path) -> RunSpec:
        return RunSpec(
            job=self.job.id,
            training=TrainingRequest(name="gym", dataset=NO_CLIPS.id),
            model="tiny",
            version=None,
            dataset=NO_CLIPS,
            clips=folder,
            checkpoint=None,
            scratch=self.scratch,
            frames=folder / "frames",
            settings=Settings(data_dir=folder),
        )

    def step(self) -> int:
        job = self.book.get(self.job.id)
        return int(job.progress["step"]) if job and job.progress else 0

    def events(self, name: str) -> list[Any]:
        entries: Any = self.client.xrange(keys.events(self.job.id))
        return [json.loads(fields["data"]) for _, fields in entries if fields["event"] == name]

    def stored(self, folder: Path) -> str | None:
        path = folder / "fetched.pt"
        return path.read_text() if self.checkpoints.fetch(self.job.id, path) else None


@pytest.fixture
def runs(records: redis.Redis, tmp_path: Path, talking: ForkServer) -> Callable[..., Run]:
    return lambda **options: Run(records, tmp_path, talking, **options)


def until(happened: Callable[[], bool], task: Future[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert not task.done(), task.exception()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_store_delays_no_progress_and_gets_the_newest_checkpoint(
    runs: Callable[..., Run], tmp_path: Path
) -> None:
    run = runs()
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.child.run)
        until(lambda: run.step() == 3, task)  # the first upload has not ended
        assert run.store.uploaded == []
        assert run.events("checkpoint") == []
        until(lambda: not (run.scratch / "checkpoint-2.pt").exists(), task)  # the third took its place
        run.store.release.set()
        (run.scratch / "go on").touch()
        assert task.result(PATIENCE) == {"metrics": None}
    assert run.store.uploaded == ["step 1", "step 3"]
    assert [event["step"] for event in run.events("checkpoint")] == [1, 3]
    assert run.stored(tmp_path) == "step 3"
    assert not list(run.scratch.glob("checkpoint-*"))


def test_a_run_that_ends_waits_for_its_last_checkpoint(runs: Callable[..., Run], tmp_path: Path) -> None:
    run = runs()
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.child.run)
        until(lambda: run.step() == 3, task)
        run.token.cancel(StopReason.CANCELLED)  # kills the child; the user wants to resume from the last checkpoint
        run.store.release.set()
        assert isinstance(task.exception(PATIENCE), Cancelled)
    assert run.stored(tmp_path) == "step 3"


def test_a_checkpoint_that_cannot_be_stored_is_logged_and_the_run_goes_on(
    runs: Callable[..., Run], tmp_path: Path
) -> None:
    run = runs(refused=1)
    run.store.release.set()
    (run.scratch / "go on").touch()
    assert run.child.run() == {"metrics": None}
    assert [event["message"] for event in run.events("log")] == [
        "The checkpoint of step 1 was not stored, and the run goes on: The store does not answer."
    ]
    assert 1 not in [event["step"] for event in run.events("checkpoint")]
    assert run.stored(tmp_path) == "step 3"


@pytest.mark.parametrize("learns", ["with its next report", "by its heartbeat"])
def test_an_attempt_that_lost_its_job_uploads_nothing_more(runs: Callable[..., Run], learns: str) -> None:
    """The upload that has begun ends, in the attempt's own file."""
    run = runs()
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run.child.run)
        until(lambda: run.step() == 3, task)
        if learns == "by its heartbeat":
            run.token.cancel(StopReason.SUPERSEDED)
        else:
            assert run.book.release(run.attempt, counts_as_failure=True)
            assert run.book.start(run.job.id) is not None
        run.store.release.set()
        (run.scratch / "go on").touch()
        expected = Cancelled if learns == "by its heartbeat" else Superseded  # `run_job` looks at the token's reason
        assert isinstance(task.exception(PATIENCE), expected)
    assert run.store.uploaded == ["step 1"]


def test_the_report_of_a_checkpoint_that_is_refused_ends_the_run(
    runs: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread's error reaches the thread that listens to the child."""
    run = runs()
    run.store.release.set()
    (run.scratch / "go on").touch()
    report = run.book.report

    def broken(attempt: Attempt, event: str, *args: Any, **options: Any) -> Any:
        if event == "checkpoint":
            raise redis.ConnectionError("Redis is away")
        return report(attempt, event, *args, **options)

    monkeypatch.setattr(run.book, "report", broken)
    with pytest.raises(redis.ConnectionError):
        run.child.run()
