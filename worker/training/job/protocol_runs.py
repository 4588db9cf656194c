"""The training jobs of a protocol: made once, with ids that follow from the parent's, and read when they have ended.

Their versions belong to the model that the request names. Without one they belong to `protocol-<id>`, which is deleted
once the report is written, or when a worker finds that the protocol has ended otherwise.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any, NoReturn

from core.datasets import Dataset
from core.errors import TrainingFailed, UnknownModel, VireoError
from core.protocols.protocol import Protocol, Run
from core.records import Job, JobState, subject_of
from core.registry import Card, Registry, Version
from core.training_requests import EvaluationRequest
from worker.jobs.attempt import Awaits
from worker.jobs.book import JobBook
from worker.training.spec import Outcome

_TEMPORARY = re.compile(r"protocol-([0-9a-f]{24})")


class ProtocolRuns:
    def __init__(self, registry: Registry, book: JobBook) -> None:
        self._registry, self._book = registry, book

    def outcomes(self, job: Job, protocol: Protocol, request: EvaluationRequest, dataset: Dataset) -> list[Outcome]:
        """What the runs came to. Raises: Awaits while some have not ended; TrainingFailed if one has failed;
        InvalidRequest for a dataset that is too small."""
        runs = protocol.runs(request, dataset)
        model = request.name or temporary_model(job.id)
        jobs = [_child(job, run, number, request, model) for number, run in enumerate(runs)]
        cards = self._cards(model)
        missing = [child for child in jobs if child.id not in cards]
        for child, run in zip(jobs, runs, strict=True):
            if child.id not in cards:
                self._check(child, run)
        if missing:
            raise Awaits(jobs)
        return [_outcome(run, child.id, cards[child.id]) for child, run in zip(jobs, runs, strict=True)]

    def delete_versions(self, model: str) -> None:
        """Raises: StorageUnavailable."""
        for number in reversed(self._registry.versions(model)):
            try:
                self._registry.delete(Version(model, number))
            except UnknownModel:  # another worker was first
                continue

    def sweep(self) -> None:
        """Delete the temporary versions of protocols that have ended otherwise."""
        for name in self._registry.names():
            if found := _TEMPORARY.fullmatch(name):
                try:
                    job = self._book.get(f"job_{found[1]}")
                except VireoError:  # a newer version of Vireo wrote its record
                    continue
                if job is None or job.state.final:
                    self.delete_versions(name)

    def _cards(self, model: str) -> dict[str, Card]:
        """The cards of the model's versions, by the job that made them."""
        cards = [self._registry.card(Version(model, number)) for number in self._registry.versions(model)]
        return {card.job: card for card in cards if card.job is not None}

    def _check(self, child: Job, run: Run) -> None:
        """Raises: TrainingFailed if a run has ended without a version."""
        found = self._book.get(child.id)
        if found is None or not found.state.final:
            return
        if found.state is JobState.SUCCEEDED:
            _fail(f"The version of the run {run.name!r} was deleted before the protocol was summed up.", child)
        reason = (found.error or {}).get("message", "")
        _fail(f"The run {run.name!r} has {found.state}, so the protocol has no result: {reason}", child)


def temporary_model(job_id: str) -> str:
    return f"protocol-{job_id.removeprefix('job_')}"


def _fail(message: str, child: Job) -> NoReturn:
    raise TrainingFailed(message, hint=f"GET /v1/jobs/{child.id} says more. Send the request again.", job=child.id)


def _child(parent: Job, run: Run, number: int, request: EvaluationRequest, model: str) -> Job:
    fields: dict[str, Any] = run.request(request, model).model_dump(mode="json")
    return Job(
        id=f"job_{hashlib.sha256(f'{parent.id}:{number}'.encode()).hexdigest()[:24]}",
        kind="training",
        project=parent.project,
        api_key=parent.api_key,
        subject=subject_of(fields),
        parent=parent.id,
        request_id=parent.request_id,
        traceparent=parent.traceparent,
        request=fields,
        created_at=time.time(),
    )


def _outcome(run: Run, job: str, card: Card) -> Outcome:
    return Outcome(name=run.name, shots=run.shots, seed=run.seed, novel=run.novel, job=job, card=card)
