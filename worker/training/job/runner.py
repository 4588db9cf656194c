"""One attempt at a training or evaluation job. A child process does the work; the runner keeps what must survive it.

Checkpoints go to the store as the child announces them. The next attempt, on any machine, continues from the last one.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

from core.calibration.learned import learned_from
from core.calibration.record import Calibration
from core.calibration.request import CalibrationRequest
from core.calibration.shelf import RECORD, Calibrations
from core.datasets import Dataset, dataset_key
from core.errors import Conflict, UnknownDataset, VireoError
from core.projects import prefix_of
from core.protocols.catalogue import protocol_of
from core.records import Job
from core.registry import REPORT, Card, Registry, Version
from core.results import EvaluationResult, ProtocolResult, TrainingResult
from core.settings import Settings
from core.state.lifecycle import Attempt
from core.storage import Store, durable
from core.training_requests import ComparisonRequest, EvaluationRequest, PreviewRequest, TrainingRequest
from worker.children.fork_server import ForkServer
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.patience import patiently
from worker.jobs.reporter import Reporter
from worker.jobs.version_number import claim_number
from worker.training.features.files import sweep as sweep_features
from worker.training.job.checkpoints import Checkpoints
from worker.training.job.child_process import Callbacks, ChildProcess
from worker.training.job.protocol_runs import ProtocolRuns, temporary_model
from worker.training.job.run_metrics import RunMetrics, record_report
from worker.training.spec import RunSpec

_RESUME = "Make room in the store. POST /v1/training-jobs/{job}/resume then continues from the last checkpoint."
_AGAIN = "Make room in the store, then send the request again."


def evaluation_key(job_id: str) -> str:
    return f"evaluations/{job_id}"


class Runner:
    def __init__(self, settings: Settings, store: Store, book: JobBook, server: ForkServer) -> None:
        """server: starts the children, see `start_fork_server`."""
        self._settings = settings
        self._server = server
        self._store = store
        self._book = book
        self._registry = Registry(store)
        self._calibrations = Calibrations(store)
        self._checkpoints = Checkpoints(store)
        self._protocol_runs = ProtocolRuns(self._registry, book)

    def of(self, project: str) -> Runner:
        """A runner for the jobs of a project: it finds that project's datasets and models, and publishes there."""
        view = copy(self)
        view._store = self._store.of(project)
        view._registry = Registry(view._store)
        view._calibrations = Calibrations(view._store)
        view._protocol_runs = ProtocolRuns(view._registry, self._book)
        return view

    def train(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = TrainingRequest.model_validate(job.request, extra="ignore")
        if card := self._published(job, request.name):  # by an attempt that died just afterwards
            return _result(card)
        with self._scratch(reporter.attempt) as scratch, ExitStack() as inputs:
            spec = self._spec(job, scratch, inputs, request.base, training=request)
            spec = spec.model_copy(update=self._standing(request, inputs, spec.bridges))
            try:
                self._run_child(spec, token, reporter, request.name)
            except VireoError:
                if not token.job_continues:
                    shutil.rmtree(spec.frames, ignore_errors=True)
                raise
            version = Version(request.name, self._claim_version(reporter.attempt, request.name))
            result = patiently(
                lambda: self._publish(spec.output, version, job), token, reporter, hint=_RESUME.format(job=job.id)
            )
        shutil.rmtree(spec.frames, ignore_errors=True)
        record_report(self._shown(request.name), result["metrics"])
        return result

    def _publish(self, output: Path, version: Version, job: Job) -> dict[str, Any]:
        """The job's result. What an earlier call has done stays as it is."""
        with self._on_the_stores_disk(output) as staged:
            self._registry.publish(staged, version)
        card = self._registry.card(version)
        self._promote(card)
        self._checkpoints.delete(job.id)
        return _result(card)

    def _standing(self, request: TrainingRequest, inputs: ExitStack, bridges: dict[str, Path]) -> dict[str, Any]:
        """The spec's fields about the version that the alias to promote points to. bridges: those known before."""
        number = self._registry.aliases(request.name).get(request.promote) if request.promote else None
        if number is None:
            return {"standing": None}
        version = Version(request.name, number)
        standing = number, inputs.enter_context(self._registry.directory(version))
        return {"standing": standing, "bridges": bridges | self._bridges(version, inputs)}

    def _promote(self, card: Card) -> None:
        """Move the alias to a version that was found better, unless somebody has moved it meanwhile."""
        found = card.metrics.get("promotion")
        if found and found["promoted"] and self._registry.aliases(card.name).get(found["alias"]) == found["standing"]:
            self._registry.set_alias(card.name, found["alias"], card.version)

    def preview(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = PreviewRequest.model_validate(job.request, extra="ignore")
        with self._scratch(reporter.attempt) as scratch, ExitStack() as inputs:
            spec = self._spec(job, scratch, inputs, request.base, preview=request)
            return self._run_child(spec, token, reporter, None)

    def evaluate(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted; Awaits while the training runs of a protocol have not ended."""
        request = EvaluationRequest.model_validate(job.request, extra="ignore")
        protocol = protocol_of(request)
        if protocol.trains and (text := self._store.read_text(f"{evaluation_key(job.id)}/{REPORT}")):
            return self._end_protocol(job, request, json.loads(text))  # of an attempt that died just afterwards
        with self._scratch(reporter.attempt) as scratch, ExitStack() as inputs:
            spec = self._spec(job, scratch, inputs, request.model, evaluation=request)
            if protocol.trains:
                outcomes = self._protocol_runs.outcomes(job, protocol, request, spec.dataset)
                spec = spec.model_copy(update={"outcomes": tuple(outcomes)})
            result = self._run_child(spec, token, reporter, None)
            patiently(lambda: self._publish_evaluation(spec.output, job), token, reporter, hint=_AGAIN)
            if protocol.trains:
                report = json.loads((spec.output / REPORT).read_text(encoding="utf-8"))
                return self._end_protocol(job, request, report)
        return result

    def _publish_evaluation(self, output: Path, job: Job) -> None:
        with self._on_the_stores_disk(output) as staged, suppress(Conflict):  # an earlier attempt's stays
            self._store.publish_tree(staged, evaluation_key(job.id), REPORT)

    def compare(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = ComparisonRequest.model_validate(job.request, extra="ignore")
        with self._scratch(reporter.attempt) as scratch, ExitStack() as inputs:
            spec = self._spec(job, scratch, inputs, request.candidate, comparison=request)
            both = [self._version(request.candidate), self._version(request.standing)]
            update: dict[str, Any] = {"trained_on": learned_from(self._registry, self._store, both)}
            if other := both[1]:
                bridges = spec.bridges | self._bridges(other, inputs)
                update |= {"other": inputs.enter_context(self._registry.directory(other)), "bridges": bridges}
            return self._run_child(spec.model_copy(update=update), token, reporter, None)

    def calibrate(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        """Raises: VireoError, Superseded, Interrupted."""
        request = CalibrationRequest.model_validate(job.request, extra="ignore")
        with self._scratch(reporter.attempt) as scratch, ExitStack() as inputs:
            spec = self._spec(job, scratch, inputs, request.model, calibration=request)
            learned = learned_from(self._registry, self._store, [self._version(request.model)])
            self._run_child(spec.model_copy(update={"trained_on": learned}), token, reporter, None)
            text = (spec.output / RECORD).read_text(encoding="utf-8")
            published = self._calibrations.publish(spec.output, Calibration.model_validate_json(text))
        return published.model_dump(mode="json")

    def _version(self, model: str | None) -> Version | None:
        """None for a model of the zoo. Raises: UnknownModel."""
        return self._registry.resolve(model) if model and self._registry.knows(model) else None

    def _end_protocol(self, job: Job, request: EvaluationRequest, report: dict[str, Any]) -> dict[str, Any]:
        """Delete the versions that nobody asked to keep. The result, without the clips that were trained on."""
        if request.name is None:
            self._protocol_runs.delete_versions(temporary_model(job.id))
        found: ProtocolResult = report["protocol_result"]
        slim: ProtocolResult = {**found, "draws": [{**draw, "drawn": None} for draw in found["draws"]]}
        result = EvaluationResult(
            evaluation=job.id,
            model=report["model"]["name"],
            split=report["split"],
            metrics=None,
            views={},
            protocol=slim,
            report=f"/v1/evaluations/{job.id}/report",
        )
        return result.model_dump(mode="json")

    def sweep(self) -> None:
        """Remove what killed attempts have left on this machine, checkpoints of jobs that no longer exist, and
        temporary versions of protocols that have ended."""
        for scratch in self._settings.training_dir.glob("job_*"):
            with _locked(scratch) as free:
                if free:
                    shutil.rmtree(scratch, ignore_errors=True)
        for frames in self._settings.training_dir.glob("frames-*"):
            job = self._book.get(frames.name.removeprefix("frames-"))
            if job is None or job.state.final:
                shutil.rmtree(frames, ignore_errors=True)
        for old in self._settings.training_dir.glob("features-*.pt"):  # of an earlier release
            old.unlink(missing_ok=True)
        for job_id in self._checkpoints.jobs():
            if self._book.get(job_id) is None:
                self._checkpoints.delete(job_id)
        for project in self._store.projects():
            self.of(project)._protocol_runs.sweep()

    def sweep_features(self) -> None:
        """Delete the features of clips whose datasets have been deleted. Raises: StorageUnavailable, OSError."""

        def exists(project: str, dataset: str) -> bool:
            return self._store.of(project).exists(f"{dataset_key(dataset)}/dataset.json")

        sweep_features(self._settings.features_dir, exists)

    def _run_child(self, spec: RunSpec, token: CancelToken, reporter: Reporter, name: str | None) -> dict[str, Any]:
        """name: the model that gets a new version; None if none does. Raises: VireoError, Superseded,
        Interrupted."""

        def store_checkpoint(path: Path) -> None:
            self._checkpoints.save(path, spec.job, reporter.attempt.number)

        def claim_version() -> int:
            assert name is not None
            return self._claim_version(reporter.attempt, name)

        callbacks = Callbacks(store_checkpoint, claim_version)
        metrics = RunMetrics(name and self._shown(name))
        return ChildProcess(self._server, spec, token, reporter, callbacks, metrics).run()

    def _shown(self, name: str) -> str:
        """The model's name in metrics, where two projects may have the same."""
        return prefix_of(self._store.project) + name

    def _published(self, job: Job, name: str) -> Card | None:
        """The version that an earlier attempt at this job has published, if any."""
        number = self._book.claimed_version(job.id)
        if number is None or number not in self._registry.versions(name):
            return None
        card = self._registry.card(Version(name, number))
        return card if card.job == job.id else None

    def _claim_version(self, attempt: Attempt, name: str) -> int:
        """The number of this job's version: the same one on every attempt. Raises: Superseded."""
        return claim_number(self._book, self._registry, attempt, name)

    def _spec(
        self,
        job: Job,
        scratch: Path,
        inputs: ExitStack,
        model: str | None,
        training: TrainingRequest | None = None,
        preview: PreviewRequest | None = None,
        evaluation: EvaluationRequest | None = None,
        comparison: ComparisonRequest | None = None,
        calibration: CalibrationRequest | None = None,
    ) -> RunSpec:
        """What the child is told. Its dataset and its model stay on this machine until `inputs` is closed. Raises:
        UnknownDataset, UnknownModel."""
        request = training or preview or evaluation or comparison or calibration
        assert request is not None
        version = self._version(model)
        dataset, clips = self._dataset(request.dataset, inputs)
        divided = training or preview or evaluation  # the others judge all clips
        column = divided.split_column if divided else None
        checkpoint = scratch / "resume.pt"
        spec = RunSpec(
            job=job.id,
            project=job.project,
            request_id=job.request_id,
            training=training,
            preview=preview,
            evaluation=evaluation,
            comparison=comparison,
            calibration=calibration,
            model=str(version) if version else model,
            version=inputs.enter_context(self._registry.directory(version)) if version else None,
            bridges=self._bridges(version, inputs) if version else {},
            dataset=dataset.under(column),
            clips=clips,
            checkpoint=checkpoint if self._checkpoints.fetch(job.id, checkpoint) else None,
            scratch=scratch,
            frames=self._settings.training_dir / f"frames-{job.id}",
            settings=self._settings,
        )
        spec.output.mkdir()
        return spec

    def _bridges(self, version: Version, inputs: ExitStack) -> dict[str, Path]:
        """By name the files of the version that a version of prompts is for, if it is. Raises: UnknownModel."""
        prompts = self._registry.card(version).prompts
        if prompts is None or not self._registry.knows(prompts["base"]):
            return {}
        name = str(prompts["base"])
        return {name: inputs.enter_context(self._registry.directory(self._registry.resolve(name)))}

    def _dataset(self, dataset_id: str, inputs: ExitStack) -> tuple[Dataset, Path]:
        try:
            tree = inputs.enter_context(self._store.local_tree(dataset_key(dataset_id), marker="dataset.json"))
        except FileNotFoundError:
            raise UnknownDataset(f"There is no dataset {dataset_id}.", hint="Upload it again.") from None
        return Dataset.model_validate_json((tree / "dataset.json").read_text(encoding="utf-8")), tree / "clips"

    @contextmanager
    def _on_the_stores_disk(self, output: Path) -> Iterator[Path]:
        """A copy of `output` that can be published by a rename."""
        with self._store.stage_tree() as staged:
            for name, file in durable.files_below(output).items():
                copy_of = staged / name
                copy_of.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy_of)
            yield staged

    @contextmanager
    def _scratch(self, attempt: Attempt) -> Iterator[Path]:
        scratch = self._settings.training_dir / f"{attempt.job_id}-{attempt.number}-{attempt.holder}"
        scratch.mkdir(parents=True)
        try:
            with _locked(scratch):
                yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Yields whether the lock was free. No live process other than this one then uses the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _result(card: Card) -> dict[str, Any]:
    single = card.metrics["views"].get("1x1")
    result = TrainingResult(
        model=f"{card.name}:{card.version}",
        version=card.version,
        metrics=single,
        views=card.metrics["views"],
        before=card.metrics.get("before"),
        headline=card.metrics.get("headline"),
        promotion=card.metrics.get("promotion"),
        solver=card.hyperparameters.get("solver"),
        base_to_novel=card.base_to_novel,
        classes=list(card.classes),
        open_labels=card.open_labels,
        report=f"/v1/models/{card.name}/versions/{card.version}/report",
    )
    return result.model_dump(mode="json")
