"""How a backup is made while the service runs.

1. Every file of the store is copied.
2. All of Redis is read at one moment, T.
3. What is new in the store since the first copy is copied as well.

A file is in the store before a record names it, except for the bytes of a video, which come just after it. So what the
records of T name was copied before T, or after it, unless it came after the first copy and went before the second. The
restore drops the records of such files. Videos and jobs that are not in the records of T are dropped here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis import Redis

from core.backup.manifest import REDIS, STORE, BackupProblem, CopiedFile, Summary, digest_of, write_manifest
from core.backup.snapshot import Entry, read_snapshot, write_entries
from core.storage import Store
from core.storage.stored_file import StoredFile

_AT_ONCE: Final = 8  # files that are copied at the same time
_OWNED = re.compile(r"(?:projects/(?P<project>[^/]+)/)?(?P<kind>blobs|jobs)/(?P<name>[^/]+)")
_OF_JOBS = ("incoming/", "runs/")
"""What a job brings or needs, which may go at any moment. Without its job it is swept after the restore."""


@dataclass(frozen=True, slots=True)
class _Copy:
    file: CopiedFile
    stamp: str


def make_backup(redis: Redis, store: Store, directory: Path) -> Summary:
    """Write a backup into a directory that is empty or does not exist. Raises: BackupProblem, RedisError,
    StorageUnavailable, OSError; then nothing is left of it."""
    if directory.exists() and any(directory.iterdir()):
        raise BackupProblem(f"{directory} is not empty. Name a new directory for each backup.")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        copies = _copy(store, directory, store.listing(), {})
        entries = read_snapshot(redis)
        listed = store.listing()
        copies = _copy(store, directory, listed, copies)
        kept = {key: copy for key, copy in copies.items() if _belongs(key, listed, _names(entries))}
        for key in copies.keys() - kept.keys():
            (directory / STORE / key).unlink(missing_ok=True)
        write_entries(entries, directory / REDIS)
        return write_manifest(directory, [copy.file for _, copy in sorted(kept.items())], len(entries))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _copy(store: Store, directory: Path, listed: dict[str, StoredFile], known: dict[str, _Copy]) -> dict[str, _Copy]:
    """`known`, and copies of what is not in it or has changed. What vanishes meanwhile is left out."""
    wanted = [key for key, file in listed.items() if key not in known or known[key].stamp != file.stamp]

    def copy(key: str) -> _Copy | None:
        path = directory / STORE / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if not store.fetch(key, path):
            path.unlink(missing_ok=True)
            return None
        return _Copy(CopiedFile(key, path.stat().st_size, digest_of(path)), listed[key].stamp)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return known | {key: made for key, made in zip(wanted, pool.map(copy, wanted), strict=True) if made}


def _names(entries: Iterable[Entry]) -> set[str]:
    return {entry.key for entry in entries}


def _belongs(key: str, listed: dict[str, StoredFile], records: set[str]) -> bool:
    """Whether a copied file is a part of what was there at the moment of the snapshot."""
    owned = _OWNED.match(key)
    if owned is None:
        return key in listed or key.split("/", 2 if key.startswith("projects/") else 0)[-1].startswith(_OF_JOBS)
    if owned["kind"] == "jobs":
        return f"vireo:job:{owned['name']}" in records
    prefix = f"vireo:project:{owned['project']}:" if owned["project"] else "vireo:"
    return f"{prefix}video:{owned['name']}" in records
