"""Eight encoded clips, and a bench that runs whole dataset jobs on a store of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core.datasets import Dataset, DatasetRequest, archive_key
from core.settings import Settings
from core.storage import Store
from tests.clips import SPECS, render
from worker.datasets.preparation import MARKER, prepare_dataset
from worker.decoding.pool import DecodePool
from worker.jobs.cancellation import CancelToken


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Eight videos of different content."""
    folder = tmp_path_factory.mktemp("dataset-clips")
    specs = [replace(SPECS["h264"], frames=8 + index, width=64, height=48) for index in range(8)]
    return [render(folder / f"{index}.mp4", spec).read_bytes() for index, spec in enumerate(specs)]


@pytest.fixture(scope="session")
def decoders() -> Iterator[DecodePool]:
    with DecodePool(2, 20.0, 1 << 30, 4096 * 2304, 600.0) as pool:
        yield pool


@dataclass(slots=True)
class DatasetBench:
    """Stores archives as the gateway does and runs dataset jobs."""

    folder: Path
    store: Store
    settings: Settings
    decoders: DecodePool
    token: CancelToken
    reported: list[dict[str, Any]]

    def stock(self, data: bytes, **options: Any) -> DatasetRequest:
        """Stores an archive as the gateway does."""
        key = archive_key(hashlib.sha256(data).hexdigest())
        with self.store.stage() as staged:
            staged.write(data)
            self.store.publish(staged, key)
        return DatasetRequest(archive=key, **({"name": "set"} | options))

    def prepare(
        self, request: DatasetRequest, report_progress: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        return prepare_dataset(
            request,
            store=self.store,
            decoders=self.decoders,
            settings=self.settings,
            token=self.token,
            report_progress=report_progress or self.reported.append,
        )

    def send(self, data: bytes, **options: Any) -> Dataset:
        return self.read(self.prepare(self.stock(data, **options))["dataset"])

    def read(self, dataset_id: str) -> Dataset:
        text = self.store.read_text(f"datasets/{dataset_id}/{MARKER}")
        assert text is not None
        return Dataset.model_validate_json(text)

    def files(self) -> set[str]:
        """The names of all files in the store, but its locks."""
        root = self.folder / "data" / "store"
        files = {path for path in root.rglob("*") if path.is_file() or path.suffix == ".part"}
        locks = {root / "partial" / "lock", *(root / "partial").glob("*.writer")}
        return {str(path.relative_to(root)) for path in files - locks}


@pytest.fixture
def bench(tmp_path: Path, decoders: DecodePool) -> DatasetBench:
    settings = Settings(data_dir=tmp_path / "data")
    store = Store(settings.store_url, tmp_path / "data" / "spool")
    return DatasetBench(tmp_path, store, settings, decoders, CancelToken(), [])
