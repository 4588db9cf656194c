"""The metric counts what became of each file, also if the dataset is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from core.errors import InvalidDataset
from core.records import Job
from core.settings import Settings
from worker.datasets import role
from worker.datasets.role import DatasetsRole
from worker.jobs.cancellation import CancelToken
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reporter import Reporter

REPORT = [{"code": "undecodable", "count": 3}, {"code": "leak", "count": 2}, {"code": "imbalance", "count": 1}]
JOB = Job(id="job_1", kind="dataset", request={"archive": "incoming/x", "name": "gym"}, created_at=0.0)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("vireo_dataset_clips_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize("fails", [False, True])
def test_every_file_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    def prepare(*args: object, **kwargs: object) -> dict[str, Any]:
        if fails:
            raise InvalidDataset("Nothing can be trained on it.", report=REPORT)
        return {"dataset": "ds_1", "clips": 7, "report": REPORT}

    monkeypatch.setattr(role, "prepare_dataset", prepare)
    before = {outcome: counted(outcome) for outcome in ("kept", "undecodable", "leak", "imbalance")}
    worker = DatasetsRole(Settings(data_dir=tmp_path), cast(Heartbeat, None))
    try:
        handler = worker.handlers["dataset"]
        if fails:
            with pytest.raises(InvalidDataset):
                handler(JOB, CancelToken(), cast(Reporter, None))
        else:
            handler(JOB, CancelToken(), cast(Reporter, None))
    finally:
        worker.close()
    grown = {outcome: counted(outcome) - was for outcome, was in before.items()}
    assert grown == {"kept": 0 if fails else 7, "undecodable": 3, "leak": 2, "imbalance": 0}
