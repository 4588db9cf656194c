"""One attempt at a training or evaluation job: a child process does it, this listens, and keeps what must last.

The child knows neither Redis nor the store, so that it can be killed at any moment: checkpoints are moved to the store
as they are announced, and the next attempt, on whichever machine, goes on from the last one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.datasets import Dataset, dataset_key
from core.errors import Cancelled, UnknownDataset, VireoError
from core.processes import SAFE_PATH, python_module
from core.records import Job, Progress
from core.registry import CARD, REPORT, Card, Registry, Version
from core.settings import Settings
from core.storage import Store
from core.training_requests import EvaluationRequest, TrainingRequest
from worker.children.messages import Message, parse_message
from worker.jobs.attempt import Interrupted
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter
from worker.training.job.run_metrics import Watch, judged
from worker.training.spec import Spec

log = logging.getLogger(__name__)

GRACE_SECONDS = 4.0  # from the wish to stop to SIGKILL; a job must stop within five
SPEC = "spec.json"
TRAINING_CHILD = "worker.training.process.training_child"

# Decode children and arithmetic share the cores. Threads that spin while they wait for each other then take the time of
# the one that they wait for: up to 50 times slower on a busy machine of 2 cores.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


def checkpoint_key(job_id: str) -> str:
    return f"runs/{job_id}.pt"


def evaluation_key(job_id: str) -> str:
    return f"evaluations/{job_id}"


class Runner:
    def __init__(self, settings: Settings, store: Store, book: JobBook) -> None:
        self._settings = settings
        self._store = store
        self._book = book
        self._registry = Registry(store)

    def train(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = TrainingRequest.model_validate(job.request)
        if card := self._published(job, request.name):  # by an attempt that died just afterwards
            return _result(card)
        with self._scratch(job.id, reporter.attempt) as scratch:
            spec = self._spec(job, scratch, request.base, training=request)
            try:
                _Child(self, spec, token, reporter, request.name).run()
            except VireoError:
                if not token.worker_stopping:
                    shutil.rmtree(spec.frames, ignore_errors=True)
                raise
            version = Version(request.name, self.number(spec, request.name))
            self._publish(spec.output, version.key, CARD)
        shutil.rmtree(spec.frames, ignore_errors=True)
        self._store.delete(checkpoint_key(job.id))
        result = _result(self._registry.card(version))
        judged(request.name, result["metrics"])
        return result

    def _published(self, job: Job, name: str) -> Card | None:
        number = self._book.claimed_version(job.id)
        if number is None or number not in self._registry.versions(name):
            return None
        card = self._registry.card(Version(name, number))
        return card if card.job == job.id else None

    def evaluate(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = EvaluationRequest.model_validate(job.request)
        with self._scratch(job.id, reporter.attempt) as scratch:
            spec = self._spec(job, scratch, request.model, evaluation=request)
            result = _Child(self, spec, token, reporter, None).run()
            self._publish(spec.output, evaluation_key(job.id), REPORT)
        return result

    def secure(self, spec: Spec, path: Path) -> None:
        self._store.publish_file(path, checkpoint_key(spec.job))

    def number(self, spec: Spec, name: str) -> int:
        return self._book.claim_version(spec.job, name, max(self._registry.versions(name), default=0))

    def sweep(self) -> None:
        """Remove what attempts that were killed on this machine have left, and checkpoints of forgotten jobs."""
        for scratch in self._settings.training_dir.glob("job_*"):
            with _locked(scratch) as free:
                if free:
                    shutil.rmtree(scratch, ignore_errors=True)
        for frames in self._settings.training_dir.glob("frames-*"):
            job = self._book.get(frames.name.removeprefix("frames-"))
            if job is None or job.state.final:
                shutil.rmtree(frames, ignore_errors=True)
        for name in self._store.children("runs"):
            job_id = name.removesuffix(".pt")
            if self._book.get(job_id) is None:
                self._store.delete(checkpoint_key(job_id))

    def _frames(self, job_id: str) -> Path:
        return self._settings.training_dir / f"frames-{job_id}"

    def _spec(
        self,
        job: Job,
        scratch: Path,
        model: str | None,
        training: TrainingRequest | None = None,
        evaluation: EvaluationRequest | None = None,
    ) -> Spec:
        """Raises: UnknownDataset, UnknownModel."""
        asked = training or evaluation
        assert asked is not None
        version = self._registry.resolve(model) if model and self._registry.knows(model) else None
        dataset, clips = self._dataset(asked.dataset)
        checkpoint = scratch / "resume.pt"
        spec = Spec(
            job=job.id,
            training=training,
            evaluation=evaluation,
            model=str(version) if version else model,
            version=self._registry.directory(version) if version else None,
            dataset=dataset,
            clips=clips,
            checkpoint=checkpoint if self._store.fetch(checkpoint_key(job.id), checkpoint) else None,
            scratch=scratch,
            frames=self._frames(job.id),
            settings=self._settings,
        )
        spec.output.mkdir()
        (scratch / SPEC).write_text(spec.model_dump_json(), encoding="utf-8")
        return spec

    def _dataset(self, dataset_id: str) -> tuple[Dataset, Path]:
        try:
            tree = self._store.local_tree(dataset_key(dataset_id), marker="dataset.json")
        except FileNotFoundError:
            raise UnknownDataset(f"There is no dataset {dataset_id}.", hint="Upload it again.") from None
        return Dataset.model_validate_json((tree / "dataset.json").read_text(encoding="utf-8")), tree / "clips"

    def _publish(self, output: Path, key: str, marker: str) -> None:
        with self._store.stage_tree() as staged:  # on the store's own file system
            shutil.copytree(output, staged, dirs_exist_ok=True)
            self._store.publish_tree(staged, key, marker)

    @contextmanager
    def _scratch(self, job_id: str, attempt: int) -> Iterator[Path]:
        scratch = self._settings.training_dir / f"{job_id}-{attempt}"
        scratch.mkdir(parents=True)
        try:
            with _locked(scratch):
                yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class _Child:
    def __init__(
        self, runner: Runner, spec: Spec, token: CancelToken, reporter: Reporter, version_of: str | None
    ) -> None:
        self._runner = runner
        self._spec = spec
        self._token = token
        self._reporter = reporter
        self._version_of = version_of
        self._watch = Watch(version_of)
        self._result: dict[str, Any] | None = None
        self._error: VireoError | None = None

    def run(self) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        command = python_module(TRAINING_CHILD, str(self._spec.scratch / SPEC))
        environment = PATIENT_THREADS | os.environ | SAFE_PATH
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment) as process:
            try:
                with self._token.on_cancel(lambda: _stop(process)):
                    self._listen(process)
                    process.wait()
            except Cancelled:
                raise _cancelled(self._spec) from None
            finally:
                process.kill()
                self._watch.end()
        return self._outcome(process.returncode)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if message := parse_message(line):
                self._take(message)

    def _take(self, message: Message) -> None:
        """Raises: Superseded."""
        name, data = message["name"], message["data"]
        self._watch.hear(message)
        match name:
            case "progress":
                self._reporter.progress(Progress.model_validate(data))
            case "checkpoint":
                self._runner.secure(self._spec, Path(data.pop("path")))
                self._reporter.event(name, data, checkpoint_saved=True)
            case "ready":
                assert self._version_of is not None
                number = self._runner.number(self._spec, self._version_of)
                self._reporter.progress(Progress(phase="publishing"))
                part = self._spec.number.with_suffix(".part")
                part.write_text(str(number), encoding="utf-8")
                part.replace(self._spec.number)
            case "result":
                self._result = data
            case "error":
                self._error = VireoError.from_dict(data)
            case _:
                self._reporter.event(name, data)

    def _outcome(self, status: int) -> dict[str, Any]:
        if self._error:
            raise self._error
        if self._result is None:  # killed: by the kernel for its memory, by a person, by a crash in a library
            raise Interrupted(f"its child ended with status {status} and did not say why")
        return self._result


def _stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM, so that it leaves a checkpoint; SIGKILL, so that it stops."""
    process.terminate()
    timer = threading.Timer(GRACE_SECONDS, process.kill)
    timer.daemon = True
    timer.start()


@contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Whether the directory is ours now: nobody else who lives holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _cancelled(spec: Spec) -> Cancelled:
    resume = f"POST /v1/training-jobs/{spec.job}/resume goes on from its checkpoint." if spec.training else None
    return Cancelled("The run was cancelled.", hint=resume)


def _result(card: Card) -> dict[str, Any]:
    single = card.metrics["views"].get("1x1")
    return {
        "model": f"{card.name}:{card.version}",
        "version": card.version,
        "metrics": single,
        "views": card.metrics["views"],
        "before": card.metrics.get("before"),
        "base_to_novel": card.base_to_novel,
        "classes": list(card.classes),
        "open_labels": card.open_labels,
        "report": f"/v1/models/{card.name}/versions/{card.version}/report",
    }
