"""The inference worker: it answers questions about videos with the models on its shelf."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import VireoError
from core.records import EngineInfo, Job
from core.settings import Settings
from core.state import keys
from core.state.payloads import Payloads
from core.storage import Upkeep
from models.files.bases import promptable_names
from models.profiles import zoo
from worker.inference.batches.driver import Batches
from worker.inference.batching.gpu_memory import observe_gpu_memory
from worker.inference.deletions import Deletions
from worker.inference.explanation.answer import answer_explain
from worker.inference.explanation.frames import answer_frames
from worker.inference.guard import Guard
from worker.inference.handlers import answer_classify, answer_embed, score_shadow
from worker.inference.labels.doctor import answer_label_check
from worker.inference.runtime import Runtime
from worker.inference.search.answer import answer_search
from worker.inference.search.indexing import index_videos
from worker.inference.shadows import ShadowBook, Shadows, ShadowTask
from worker.jobs.attempt import Handler
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reporter import Reporter

log = logging.getLogger(__name__)

LOAD_RETRY_SECONDS = 31.0  # just longer than the shelf refuses a model that has failed to load
LOOK_SECONDS = 5.0  # between two looks at the decision about the default model, which all workers share
RECONSIDER_SECONDS = 300.0  # between two looks whether `auto` can have a better model by now


class InferenceRole:
    def __init__(self, settings: Settings, heartbeat: Heartbeat, leave: Callable[[str], None]) -> None:
        """`leave`: ends this process, for the reason in words; its jobs go back into the queue."""
        self._settings = settings
        self._heartbeat = heartbeat
        self._stopped = threading.Event()
        self._runtime = Runtime.open(settings, lambda detail: heartbeat.update(detail=detail))
        self._guard = Guard(settings.inference_deadline, leave)
        listening = connect(settings.jobs_redis, decode=True)
        runtime = self._runtime
        self._deletions = Deletions(listening, runtime.book, runtime.videos, runtime.indexes)
        counts = ShadowBook(connect(settings.jobs_redis, decode=True, patient=False))
        queue = JobBook(
            connect(settings.jobs_redis, decode=True),
            keys.INFERENCE,
            payloads=Payloads(self._runtime.store, settings.job_inline_bytes),
        )
        self._batches = Batches(queue, self._runtime.store, settings)
        self._shadows = Shadows(lambda task, token: score_shadow(self._runtime.of(task.project), task, token), counts)
        self._upkeep = Upkeep("the sweep of engines", runtime.shelf.sweep_engines, settings.spool_check_seconds)
        self._announced: str | None = None  # name of the default model, once it is loaded
        self._engine: EngineInfo | None = None  # its engine, as it was announced
        self._tried = self._reconsidered = time.monotonic()
        self.concurrency = settings.worker_threads

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "classification": self._classify,
            "embedding": self._embed,
            "explanation": self._explain,
            "frames": self._show_frames,
            "search": self._search,
            "indexing": self._index,
            "label_check": self._check_labels,
            "batch": self._batches.run,
        }

    def _classify(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        def follow(task: ShadowTask) -> None:
            reporter.afterwards(lambda: self._shadows.offer(task))

        with self._shadows.live():
            return self._guard.run(token, lambda: answer_classify(self._of(job), job, token, follow))

    def _embed(self, job: Job, token: CancelToken, _: Reporter) -> dict[str, Any]:
        with self._shadows.live():
            return self._guard.run(token, lambda: answer_embed(self._of(job), job, token))

    def _explain(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        with self._shadows.live():
            return self._guard.run(token, lambda: answer_explain(self._of(job), job, token, reporter.picture))

    def _show_frames(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        with self._shadows.live():
            return self._guard.run(token, lambda: answer_frames(self._of(job), job, token, reporter.picture))

    def _search(self, job: Job, token: CancelToken, _: Reporter) -> dict[str, Any]:
        with self._shadows.live():
            return self._guard.run(token, lambda: answer_search(self._of(job), job, token))

    def _index(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        return index_videos(self._of(job), job, token, reporter.progress, self._guard)

    def _check_labels(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        with self._shadows.live():
            return self._guard.run(token, lambda: answer_label_check(self._of(job), job, token, reporter.picture))

    def _of(self, job: Job) -> Runtime:
        return self._runtime.of(job.project)

    def announce(self) -> None:
        """Load the default model and announce what this worker can do. If the model cannot be loaded, the worker
        announces that, serves other models and keeps trying: a model hub may come back, and no restart should be
        needed."""
        self._deletions.start()
        self._upkeep.start()
        self._load()
        threading.Thread(target=self._watch, name="model", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        self._upkeep.stop()
        self._deletions.stop()
        self._shadows.close()
        self._runtime.shelf.default.release()
        self._runtime.close()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._look()
                observe_gpu_memory(self._runtime.shelf.devices)
            except Exception:
                log.exception("the look at the default model failed; the next one follows")

    def _look(self) -> None:
        """Hold the decision if it is ours, and serve what all workers serve."""
        default, now = self._runtime.shelf.default, time.monotonic()
        default.hold()
        if self._announced is None:
            if now - self._tried >= LOAD_RETRY_SECONDS:
                self._load()
        elif default.current().name != self._announced:
            self._load()
        elif now - self._reconsidered >= RECONSIDER_SECONDS:
            self._reconsidered = now
            self._improve()
        else:
            self._announce_engine()

    def _improve(self) -> None:
        """Load what `auto` would choose now before all workers change to it."""
        if choice := self._runtime.shelf.default.better():
            try:
                self._runtime.shelf.get(choice.name)
            except VireoError as error:
                log.info("%s still cannot be loaded: %s", choice.name, error.message)
            else:
                self._runtime.shelf.default.adopt(choice)
            self._load()

    def _load(self) -> None:
        self._tried = time.monotonic()
        names = zoo.model_names(self._settings.data_dir)
        try:
            loaded = self._runtime.shelf.get(None)
        except VireoError as error:
            self._announced = None
            self._heartbeat.update(state="failed", detail=error.message, error=error.to_dict(), models=names)
            return
        self._announced = loaded.ref.name
        self._engine = self._runtime.shelf.engine_of(loaded)
        self._heartbeat.update(
            state="ready",
            detail=f"{loaded.ref.name} is loaded",
            error=None,
            model=loaded.ref,
            models=names,
            promptable=promptable_names(self._settings.data_dir),
            device=str(loaded.recognizer.device),
            precision=loaded.recognizer.precision,
            engine=self._engine,
        )

    def _announce_engine(self) -> None:
        """A faster one may have been found."""
        loaded = self._runtime.shelf.peek(self._announced) if self._announced else None
        engine = self._runtime.shelf.engine_of(loaded) if loaded else self._engine
        if loaded and engine != self._engine:
            self._engine = engine
            self._heartbeat.update(precision=loaded.recognizer.precision, engine=engine)
