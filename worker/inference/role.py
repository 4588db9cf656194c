"""The inference worker: it answers questions about videos with the models on its shelf."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from core.errors import VireoError
from core.settings import Settings
from models.profiles import zoo
from worker.inference.handlers import answer_classify, answer_embed
from worker.inference.runtime import Runtime
from worker.jobs.attempt import Handler
from worker.jobs.heartbeat import Heartbeat

LOAD_RETRY_SECONDS = 31.0  # just longer than the shelf refuses a model that has failed to load


class InferenceRole:
    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._stopped = threading.Event()
        self._runtime = Runtime.open(settings, lambda detail: heartbeat.update(detail=detail))
        self.concurrency = settings.worker_threads

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "classify": lambda job, token, _: answer_classify(self._runtime, job, token),
            "embed": lambda job, token, _: answer_embed(self._runtime, job, token),
        }

    def announce(self) -> None:
        """Load the default model and announce what this worker can do. If the model cannot be loaded, the worker
        announces that, serves other models and keeps trying: a model hub may come back, and no restart should be
        needed."""
        if not self._load():
            threading.Thread(target=self._keep_trying, name="model", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        self._runtime.close()

    def _keep_trying(self) -> None:
        while not self._stopped.wait(LOAD_RETRY_SECONDS):
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
