"""Checkpoints of training runs in the store: `runs/<job id>/<attempt>.pt`. Earlier versions of Vireo wrote
`runs/<job id>.pt`.

An attempt that was taken for dead may still save a checkpoint. Each attempt therefore has a file of its own: it cannot
overwrite the newer checkpoint of its successor, and a run continues from the checkpoint of the latest attempt.
"""

from __future__ import annotations

from pathlib import Path

from core.storage import Store

_SUFFIX = ".pt"


class Checkpoints:
    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, path: Path, job_id: str, attempt: int) -> None:
        """Move the file to the store, and delete the checkpoints of earlier attempts. Raises: StorageUnavailable."""
        self._store.publish_file(path, _key(job_id, attempt))
        self._delete(job_id, before=attempt)

    def fetch(self, job_id: str, path: Path) -> bool:
        """Copy the checkpoint of the latest attempt to `path`. False if there is none. Raises: StorageUnavailable."""
        latest = max(self._attempts(job_id), default=0)
        return self._store.fetch(_key(job_id, latest), path)

    def delete(self, job_id: str) -> None:
        """Raises: StorageUnavailable."""
        self._delete(job_id, before=None)

    def jobs(self) -> set[str]:
        """Ids of the jobs that have a checkpoint."""
        return {key.split("/")[1].removesuffix(_SUFFIX) for key in self._store.find("runs")}

    def _attempts(self, job_id: str) -> list[int]:
        names = (name.removesuffix(_SUFFIX) for name in self._store.children(f"runs/{job_id}"))
        return [int(name) for name in names if name.isdecimal()]

    def _delete(self, job_id: str, before: int | None) -> None:
        for attempt in (0, *self._attempts(job_id)):
            if before is None or attempt < before:
                self._store.delete(_key(job_id, attempt))


def _key(job_id: str, attempt: int) -> str:
    """`attempt`: 0 means the file that earlier versions wrote."""
    return f"runs/{job_id}/{attempt}{_SUFFIX}" if attempt else f"runs/{job_id}{_SUFFIX}"
