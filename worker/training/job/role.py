"""The training worker. It imports no torch itself: each run is a child process with its own memory."""

from __future__ import annotations

from collections.abc import Mapping

from core.settings import Settings
from core.state import keys
from core.storage import Store
from worker.jobs.attempt import Handler
from worker.jobs.book import JobBook
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.training.job.child_process import start_fork_server
from worker.training.job.runner import Runner


class TrainingRole:
    concurrency = 1  # a run uses the whole machine; start several workers for several runs

    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        store = Store.from_settings(settings)
        book = JobBook(connect(settings.jobs_redis, decode=True), keys.TRAINING)
        self._server = start_fork_server()
        self._runner = Runner(settings, store, book, self._server)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "training": self._runner.train,
            "preview": self._runner.preview,
            "evaluation": self._runner.evaluate,
            "comparison": self._runner.compare,
            "calibration": self._runner.calibrate,
        }

    def announce(self) -> None:
        self._runner.sweep()
        self._heartbeat.update(state="ready", detail="waiting for training jobs")

    def close(self) -> None:
        """Running jobs have already been given back."""
        self._server.close()
