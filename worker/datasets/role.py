"""The datasets worker: archives and checkpoints that somebody sent. It imports no torch, and stays small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.datasets import DatasetRequest, FindingCode
from core.errors import InvalidDataset
from core.prometheus import DATASET_CLIPS
from core.records import Job, Progress
from core.registry import Registry
from core.settings import Settings
from core.state import keys
from core.storage import Store
from core.training_requests import ImportRequest
from worker.datasets.preparation import prepare
from worker.decoding.pool import DecodePool
from worker.importing.importer import import_checkpoint
from worker.jobs.attempt import Handler
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reporter import Reporter

LEFT_OUT: tuple[FindingCode, ...] = (
    "undecodable",
    "missing_file",
    "unlisted_file",
    "duplicate",
    "conflicting_labels",
    "leak",
)
"""Findings whose files were meant as clips and are none of the dataset's."""


class Datasets:
    concurrency = 1  # one archive at a time: its clips are decoded by several children already

    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._store = Store(settings.store_url, settings.data_dir / "spool")
        self._registry = Registry(self._store)
        self._book = JobBook(connect(settings.jobs_redis, decode=True), keys.DATASETS)
        self._decoders = DecodePool.from_settings(settings)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {"dataset": self._prepare, "import": self._import}

    def announce(self) -> None:
        self._heartbeat.say(state="ready", detail="waits for datasets")

    def close(self) -> None:
        self._decoders.close()

    def _prepare(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        def progress(how_far: dict[str, Any]) -> None:
            reporter.progress(Progress(phase="preparing", **how_far))

        try:
            answer = prepare(
                DatasetRequest.model_validate(job.request),
                store=self._store,
                decoders=self._decoders,
                settings=self._settings,
                token=token,
                progress=progress,
            )
        except InvalidDataset as error:
            _count(0, error.details["report"])
            raise
        _count(answer["clips"], answer["report"])
        return answer

    def _import(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        request = ImportRequest.model_validate(job.request)

        def claim() -> int:
            return self._book.claim_version(job.id, request.name, max(self._registry.versions(request.name), default=0))

        return import_checkpoint(
            request,
            job.id,
            store=self._store,
            registry=self._registry,
            claim=claim,
            settings=self._settings,
            token=token,
            progress=reporter.progress,
        )


def _count(kept: int, report: Iterable[Mapping[str, Any]]) -> None:
    DATASET_CLIPS.labels("kept").inc(kept)
    for finding in report:
        if finding["code"] in LEFT_OUT:
            DATASET_CLIPS.labels(finding["code"]).inc(finding["count"])
