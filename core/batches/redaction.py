"""What a deleted video leaves in a batch: a row without it."""

from __future__ import annotations

import re

from core.batches.rows import BatchRow, RowError
from core.state.payloads import MANIFEST, payloads_key
from core.storage import Store

_SHA256 = re.compile(r"[0-9a-f]{64}")

DELETED = RowError(code="unknown_video", message="The video has been deleted, and the answer about it as well.")


def redact(store: Store, job_id: str, sha256: str) -> bool:
    """Replace the rows about a video of a batch that has ended, and delete its files of items that name it. Returns
    whether the batch mentioned it. Raises: StorageUnavailable."""
    folder = payloads_key(job_id)
    rows = [_redact_rows(store, f"{folder}/rows/{name}", sha256) for name in store.children(f"{folder}/rows")]
    items = [f"{folder}/{MANIFEST}", *(f"{folder}/items/{name}" for name in store.children(f"{folder}/items"))]
    return any([*rows, *(_delete_if_named(store, key, sha256) for key in items)])


def mentions(store: Store, job_id: str, sha256: str) -> bool:
    """Whether any file of a job names the video. Raises: StorageUnavailable."""
    return any(_names(store, key, sha256) for key in store.find(payloads_key(job_id)))


def named_videos(store: Store, job_id: str) -> set[str]:
    """The sha256 of all videos that the items of a batch name. Raises: StorageUnavailable."""
    folder = payloads_key(job_id)
    found: set[str] = set()
    for key in (f"{folder}/{MANIFEST}", *(f"{folder}/items/{name}" for name in store.children(f"{folder}/items"))):
        try:
            with store.local_file(key) as path, path.open(encoding="utf-8", errors="replace") as file:
                found |= {sha256 for line in file for sha256 in _SHA256.findall(line)}
        except FileNotFoundError:
            continue
    return found


def _redact_rows(store: Store, key: str, sha256: str) -> bool:
    text = store.read_text(key) or ""
    if sha256 not in text:
        return False
    lines = [_without(line) if sha256 in line else line for line in text.split("\n")]
    store.write_text(key, "\n".join(lines))
    return True


def _without(line: str) -> str:
    """The row of an item without its video: neither its answer nor what the manifest gave."""
    return BatchRow(index=BatchRow.model_validate_json(line).index, error=DELETED).model_dump_json()


def _delete_if_named(store: Store, key: str, sha256: str) -> bool:
    named = _names(store, key, sha256)
    if named:
        store.delete(key)
    return named


def _names(store: Store, key: str, sha256: str) -> bool:
    try:
        with store.local_file(key) as path, path.open("rb") as file:
            return any(sha256.encode() in line for line in file)
    except FileNotFoundError:
        return False
