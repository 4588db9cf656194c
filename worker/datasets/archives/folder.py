"""The folder into which an untrusted archive is unpacked. It counts bytes and files and enforces the limits.

Files are named `000000`, `000001`, … in the order of the archive, so the archive's own names never reach the file
system. The limits apply to the bytes that are really unpacked, never to what a header claims.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from core.errors import InvalidArchive, StorageUnavailable
from worker.datasets.archives.names import clean_path, refuse_entry

CHUNK_BYTES = 1 << 20
_PROGRESS_SECONDS = 0.25

Notify = Callable[[dict[str, Any]], None]
"""Sends a message to the parent process."""


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """max_ratio: unpacked bytes per byte of the archive; it applies after the first `free_bytes`. Video hardly
    compresses; text does, about fifty times. stall_seconds: a child that is silent for longer is killed.
    memory_bytes: limit of the child's address space."""

    max_bytes: int
    max_files: int
    max_ratio: float = 200.0
    free_bytes: int = 64 << 20
    stall_seconds: float = 60.0
    memory_bytes: int = 1 << 30


class TruncatedArchive(Exception):
    """A tar that ends without its end mark, or a zip that has no directory."""


class ByteSource(Protocol):
    def read(self, size: int, /) -> bytes: ...


class UnpackFolder:
    """Writes the files of one archive and counts what has been unpacked so far."""

    def __init__(self, into: Path, limits: UnpackLimits, archive_bytes: int, notify: Notify) -> None:
        self._into, self._limits, self._notify = into, limits, notify
        self._bomb_bytes = max(limits.free_bytes, int(limits.max_ratio * archive_bytes))
        self._entries = self._files = self._bytes = 0
        self._notified_at = time.monotonic()

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def next_entry(self, name: str) -> str:
        """Count the next entry and return its checked name. Raises: InvalidArchive."""
        self._entries += 1
        if self._entries > 2 * self._limits.max_files:  # folders are entries, too
            self._too_many()
        return clean_path(name)

    def count_bytes(self, size: int) -> None:
        """Raises: InvalidArchive."""
        self._bytes += size
        if self._bytes > self._limits.max_bytes:
            raise InvalidArchive(
                f"The archive unpacks to more than {self._limits.max_bytes} bytes.",
                hint="Split the dataset, or raise VIREO_MAX_DATASET_BYTES.",
                reason="too_large",
                path=None,
                limit=self._limits.max_bytes,
            )
        if self._bytes > self._bomb_bytes:
            raise InvalidArchive(
                f"The archive unpacks to more than {self._limits.max_ratio:g} times its own size.",
                hint="Archives of videos do not compress that much. Send the videos only.",
                reason="bomb",
                path=None,
            )
        if time.monotonic() - self._notified_at > _PROGRESS_SECONDS:
            self._notified_at = time.monotonic()
            self._notify({"files": self._files, "bytes": self._bytes})

    def ignore(self, path: str) -> None:
        self._notify({"ignored": path})

    def write(self, path: str, source: ByteSource, declared: int) -> None:
        """Write all of `source`. `declared`: its size in the archive's header, bytes.

        Raises: InvalidArchive, StorageUnavailable.
        """
        if self._files >= self._limits.max_files:
            self._too_many()
        file, sha256, size = f"{self._files:06d}", hashlib.sha256(), 0
        self._files += 1
        with (self._into / file).open("xb") as target:
            for chunk in _chunks(source):
                size += len(chunk)
                sha256.update(chunk)
                _write_chunk(target, chunk)
        if size != declared:
            refuse_entry(path, "size_mismatch", f"has {size} bytes, not the {declared} that the archive declares")
        self._notify({"path": path, "file": file, "size": size, "sha256": sha256.hexdigest()})

    def _too_many(self) -> None:
        raise InvalidArchive(
            f"The archive has more than {self._limits.max_files} files.",
            hint="Split the dataset, or raise VIREO_MAX_DATASET_FILES.",
            reason="too_many_files",
            path=None,
            limit=self._limits.max_files,
        )


class CountedStream:
    """A stream whose bytes are counted as they are read."""

    def __init__(self, source: ByteSource, folder: UnpackFolder) -> None:
        self._source, self._folder = source, folder

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        chunk = self._source.read(size)
        self._folder.count_bytes(len(chunk))
        return chunk


def refuse_link(path: str) -> NoReturn:
    refuse_entry(path, "link", "is a link", "Pack the files themselves (tar --dereference --hard-dereference).")


def refuse_special(path: str) -> NoReturn:
    refuse_entry(path, "special_file", "is a device or another special file")


def _chunks(source: ByteSource) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _write_chunk(target: IO[bytes], chunk: bytes) -> None:
    try:
        target.write(chunk)
    except OSError as error:
        raise StorageUnavailable(f"The dataset could not be unpacked: {error.strerror}.") from error
