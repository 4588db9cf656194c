"""Datasets in the store. There is no index, so nothing can disagree with the store."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from core.datasets import Dataset, dataset_key
from core.errors import Conflict, NotFound, UnknownDataset
from core.state import keys
from core.storage import Store
from service.bodies.schemas import DatasetPage, DatasetView, Links
from service.bodies.validation import similar_names
from service.catalog.needs import check_unneeded
from service.http.downloads import LocalFile
from service.jobs.repository import Jobs

RECORD = "dataset.json"
_ID = re.compile(r"ds_[0-9a-f]{24}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Datasets:
    """Raises StorageUnavailable while the store cannot be reached."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    async def get(self, dataset_id: str) -> Dataset:
        """Raises: UnknownDataset; Conflict while it is being deleted."""
        return await asyncio.to_thread(lambda: Dataset.model_validate_json(self._text(dataset_id)))

    async def view(self, dataset_id: str, *, items: bool) -> DatasetView:
        """Raises: UnknownDataset."""
        return await asyncio.to_thread(lambda: _view(self._text(dataset_id), items=items))

    async def page(self, cursor: str | None, limit: int) -> DatasetPage:
        """By id."""
        return await asyncio.to_thread(self._page, cursor, limit)

    async def stored_bytes(self) -> int:
        """Bytes of all datasets of the project."""
        return await asyncio.to_thread(self._stored_bytes)

    async def clip(self, dataset_id: str, sha256: str) -> LocalFile:
        """The bytes of a clip, as a file on this machine that the caller closes. Raises: UnknownDataset, NotFound."""
        await asyncio.to_thread(self._text, dataset_id)
        try:
            if _SHA256.fullmatch(sha256):
                return await LocalFile.open(self._store.local_file(f"{dataset_key(dataset_id)}/clips/{sha256}"))
        except FileNotFoundError:
            pass
        raise NotFound(
            f"{dataset_id} has no clip {sha256[:80]!r}.",
            hint=f"GET /v1/datasets/{dataset_id}?items=true lists its clips, each with its sha256.",
        )

    async def delete(self, dataset_id: str) -> None:
        """Raises: UnknownDataset; Conflict while an unfinished job needs it."""
        await asyncio.to_thread(self._text, dataset_id)
        await check_unneeded(
            self._jobs, [keys.TRAINING], dataset_id, lambda job: job.request.get("dataset") == dataset_id
        )
        await asyncio.to_thread(self._store.delete_tree, dataset_key(dataset_id), RECORD)

    def _stored_bytes(self) -> int:
        texts = (self._store.read_text(f"{dataset_key(child)}/{RECORD}") for child in self._ids())
        return sum(json.loads(text)["bytes"] for text in texts if text)

    def _ids(self) -> list[str]:
        return [child for child in self._store.children("datasets") if _ID.fullmatch(child)]

    def _text(self, dataset_id: str) -> str:
        text = self._store.read_text(f"{dataset_key(dataset_id)}/{RECORD}") if _ID.fullmatch(dataset_id) else None
        if text is None and _ID.fullmatch(dataset_id) and self._store.children(dataset_key(dataset_id)):
            raise Conflict(f"{dataset_id} is being deleted.", hint="Upload the dataset again if you need it.")
        if text is None:
            raise UnknownDataset(
                f"There is no dataset {dataset_id[:80]!r}.",
                hint="GET /v1/datasets lists the datasets; POST /v1/datasets makes one.",
                nearest=similar_names(dataset_id, self._ids(), 80),
            )
        return text

    def _page(self, cursor: str | None, limit: int) -> DatasetPage:
        ids = [child for child in self._ids() if cursor is None or child > cursor]
        texts = [self._store.read_text(f"{dataset_key(child)}/{RECORD}") for child in ids[:limit]]
        return DatasetPage(
            data=[_view(text, items=False) for text in texts if text],  # None: the dataset has been deleted meanwhile
            next=ids[limit - 1] if len(ids) > limit else None,
        )


def _view(text: str, *, items: bool) -> DatasetView:
    fields: dict[str, Any] = json.loads(text)
    if not items:
        fields["items"] = None
    return DatasetView(**fields, links=Links(self=f"/v1/datasets/{fields['id']}"))
