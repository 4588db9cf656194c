"""The training worker. It imports no torch itself: each run is a child process with its own memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from core.records import Job
from core.settings import Settings
from core.state import keys
from core.storage import Store, Upkeep
from worker.jobs.attempt import Handler
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.metering import Metering
from worker.jobs.reporter import Reporter
from worker.training.job.child_process import start_fork_server
from worker.training.job.runner import Runner


class TrainingRole:
    concurrency = 1  # a run uses the whole machine; start several workers for several runs

    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        store = Store.from_settings(settings)
        book = JobBook(connect(settings.jobs_redis, decode=True), keys.TRAINING)
        self._metering = Metering(connect(settings.jobs_redis, decode=True, patient=False))
        self._server = start_fork_server()
        self._runner = Runner(settings, store, book, self._server)
        self._upkeep = Upkeep("the sweep of features", self._runner.sweep_features, settings.spool_check_seconds)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "training": self._in_project(self._train),
            "preview": self._in_project(Runner.preview),
            "evaluation": self._in_project(Runner.evaluate),
            "comparison": self._in_project(Runner.compare),
            "calibration": self._in_project(Runner.calibrate),
        }

    def _in_project(self, work: Callable[[Runner, Job, CancelToken, Reporter], dict[str, Any]]) -> Handler:
        """`work` by a runner for the job's project."""
        return lambda job, token, reporter: work(self._runner.of(job.project), job, token, reporter)

    def _train(self, runner: Runner, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Each attempt is counted, however it ends."""
        started = time.monotonic()
        try:
            return runner.train(job, token, reporter)
        finally:
            self._metering.count("training_minutes", (time.monotonic() - started) / 60)

    def announce(self) -> None:
        self._runner.sweep()
        self._upkeep.start()
        self._heartbeat.update(state="ready", detail="waiting for training jobs")

    def close(self) -> None:
        """Running jobs have already been given back."""
        self._upkeep.stop()
        self._server.close()
