"""The inference worker: questions about videos, answered by the models on its shelf."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from core.errors import VireoError
from core.settings import Settings
from models.profiles import zoo
from worker.inference.handlers import classify, embed
from worker.inference.runtime import Runtime
from worker.jobs.attempt import Handler
from worker.jobs.heartbeat import Heartbeat

RETRY_SECONDS = 31.0  # just after the shelf is willing to try a failed model again


class Inference:
    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._stopped = threading.Event()
        self._runtime = Runtime.open(settings, lambda detail: heartbeat.update(detail=detail))
        self.concurrency = settings.worker_threads

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "classify": lambda job, token, _: classify(self._runtime, job, token),
            "embed": lambda job, token, _: embed(self._runtime, job, token),
        }

    def announce(self) -> None:
        """Load the default model and say what this worker can do. One that cannot be had is announced as such, and the
        worker serves the others meanwhile: a hub may come back, and no restart should be needed."""
        if not self._load():
            threading.Thread(target=self._keep_trying, name="model", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        self._runtime.close()

    def _keep_trying(self) -> None:
        while not self._stopped.wait(RETRY_SECONDS):
            if self._load():
                return

    def _load(self) -> bool:
        names = zoo.model_names(self._settings.data_dir)
        try:
            loaded = self._runtime.shelf.get(None)
        except VireoError as error:
            self._heartbeat.update(state="failed", detail=error.message, error=error.to_dict(), models=names)
            return False
        self._heartbeat.update(
            state="ready",
            detail=f"{loaded.ref.name} is loaded",
            error=None,
            model=loaded.ref,
            models=names,
            device=str(loaded.recognizer.device),
            precision=loaded.recognizer.precision,
        )
        return True
