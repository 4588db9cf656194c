"""The role that imports published checkpoints. It imports no torch: a child process reads each file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.records import Job
from core.registry import Registry
from core.settings import Settings
from core.state import keys
from core.storage import Store
from core.training_requests import ImportRequest
from worker.importing.importer import run_import
from worker.jobs.attempt import Handler
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.connection import connect
from worker.jobs.patience import patiently
from worker.jobs.reporter import Reporter
from worker.jobs.version_number import claim_number


class ImportingRole:
    """It shares the queue `datasets` with the datasets role, which announces the worker."""

    concurrency = 1  # one file at a time: the child may use several times the file's size in memory

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store.from_settings(settings)
        self._book = JobBook(connect(settings.jobs_redis, decode=True), keys.DATASETS)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {"import": self._import}

    def announce(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to close: the child ends with its job."""

    def _import(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        request = ImportRequest.model_validate(job.request, extra="ignore")
        store = self._store.of(job.project)
        registry = Registry(store)

        def claim() -> int:
            return claim_number(self._book, registry, reporter.attempt, request.name)

        return patiently(
            lambda: run_import(
                request,
                job.id,
                store=store,
                registry=registry,
                claim=claim,
                settings=self._settings,
                token=token,
                report_progress=reporter.progress,
            ),
            token,
            reporter,
            hint="Make room in the store, then upload the file again.",
        )
