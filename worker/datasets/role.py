"""The role that prepares datasets from uploaded archives. It imports no torch, so its worker stays small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.datasets import DatasetRequest, FindingCode
from core.errors import InvalidDataset
from core.prometheus import DATASET_CLIPS
from core.records import Job, Progress
from core.settings import Settings
from core.storage import Store
from worker.datasets.preparation import prepare_dataset
from worker.decoding.pool import DecodePool
from worker.jobs.attempt import Handler
from worker.jobs.cancellation import CancelToken
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.patience import patiently
from worker.jobs.reporter import Reporter

LEFT_OUT: tuple[FindingCode, ...] = (
    "undecodable",
    "missing_file",
    "unlisted_file",
    "duplicate",
    "conflicting_labels",
    "leak",
)
"""Findings about files that the user meant as clips and that the dataset does not contain."""


class DatasetsRole:
    concurrency = 1  # one archive at a time: several children decode its clips already

    def __init__(self, settings: Settings, heartbeat: Heartbeat) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._store = Store.from_settings(settings)
        self._decoders = DecodePool.from_settings(settings)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {"dataset": self._prepare}

    def announce(self) -> None:
        self._heartbeat.update(state="ready", detail="waits for datasets")

    def close(self) -> None:
        self._decoders.close()

    def _prepare(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        def report_progress(steps: dict[str, Any]) -> None:
            reporter.progress(Progress(phase="preparing", **steps))

        try:
            result = patiently(
                lambda: prepare_dataset(
                    DatasetRequest.model_validate(job.request),
                    store=self._store.of(job.project),
                    decoders=self._decoders,
                    settings=self._settings,
                    token=token,
                    report_progress=report_progress,
                ),
                token,
                reporter,
                hint="Make room in the store, then upload the archive again.",
            )
        except InvalidDataset as error:
            _count_clips(0, error.details["report"])
            raise
        _count_clips(result["clips"], result["report"])
        return result


def _count_clips(kept: int, report: Iterable[Mapping[str, Any]]) -> None:
    DATASET_CLIPS.labels("kept").inc(kept)
    for finding in report:
        if finding["code"] in LEFT_OUT:
            DATASET_CLIPS.labels(finding["code"]).inc(finding["count"])
