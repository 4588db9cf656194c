"""Where the files of an untrusted archive go: a folder that counts what comes, and refuses what is too much.

Files are named `000000`, `000001`, … in the order of the archive, so its own names never touch the file system. What
counts against the limits is what really comes out, never what a header says.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from core.errors import InvalidArchive, StorageUnavailable
from worker.datasets.archives.names import clean_path, refuse

CHUNK = 1 << 20
_TELL_SECONDS = 0.25

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """max_ratio: bytes that come out per byte of the archive, once `free_bytes` are out. Video does not shrink; text
    does, some fifty times. stall_seconds: without a sign of life the child is killed. memory_bytes: of the child."""

    max_bytes: int
    max_files: int
    max_ratio: float = 200.0
    free_bytes: int = 64 << 20
    stall_seconds: float = 60.0
    memory_bytes: int = 1 << 30


class CutOff(Exception):
    """A tar that ends without its end mark, or a zip without its directory."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Folder:
    """Where the files go, and what came out so far."""

    def __init__(self, into: Path, limits: UnpackLimits, archive_bytes: int, tell: Tell) -> None:
        self._into, self._limits, self._tell = into, limits, tell
        self._bomb_above = max(limits.free_bytes, int(limits.max_ratio * archive_bytes))
        self._entries = self._files = self._bytes = 0
        self._told_at = time.monotonic()

    @property
    def untouched(self) -> bool:
        return not self._entries

    def enter(self, name: str) -> str:
        """The name of the next entry, checked. Raises: InvalidArchive."""
        self._entries += 1
        if self._entries > 2 * self._limits.max_files:  # folders are entries too
            self._too_many()
        return clean_path(name)

    def count(self, size: int) -> None:
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
        if self._bytes > self._bomb_above:
            raise InvalidArchive(
                f"The archive unpacks to more than {self._limits.max_ratio:g} times its size, as no videos do.",
                reason="bomb",
                path=None,
            )
        if time.monotonic() - self._told_at > _TELL_SECONDS:
            self._told_at = time.monotonic()
            self._tell({"files": self._files, "bytes": self._bytes})

    def ignore(self, path: str) -> None:
        self._tell({"ignored": path})

    def write(self, path: str, source: Readable, promised: int) -> None:
        """The whole of `source`. Raises: InvalidArchive, StorageUnavailable."""
        if self._files >= self._limits.max_files:
            self._too_many()
        file, sha256, size = f"{self._files:06d}", hashlib.sha256(), 0
        self._files += 1
        with (self._into / file).open("xb") as target:
            for chunk in _chunks(source):
                size += len(chunk)
                sha256.update(chunk)
                _put(target, chunk)
        if size != promised:
            refuse(path, "size_mismatch", f"has {size} bytes, not the {promised} that the archive promises")
        self._tell({"path": path, "file": file, "size": size, "sha256": sha256.hexdigest()})

    def _too_many(self) -> None:
        raise InvalidArchive(
            f"The archive has more than {self._limits.max_files} files.",
            hint="Split the dataset, or raise VIREO_MAX_DATASET_FILES.",
            reason="too_many_files",
            path=None,
            limit=self._limits.max_files,
        )


class Metered:
    """A stream that is counted as it is read."""

    def __init__(self, source: Readable, folder: Folder) -> None:
        self._source, self._folder = source, folder

    def read(self, size: int = CHUNK, /) -> bytes:
        chunk = self._source.read(size)
        self._folder.count(len(chunk))
        return chunk


def refuse_link(path: str) -> NoReturn:
    refuse(path, "link", "is a link", "Pack the files themselves (tar --dereference --hard-dereference).")


def refuse_special(path: str) -> NoReturn:
    refuse(path, "special_file", "is a device or another special file")


def _chunks(source: Readable) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _put(target: IO[bytes], chunk: bytes) -> None:
    try:
        target.write(chunk)
    except OSError as error:
        raise StorageUnavailable(f"The dataset could not be unpacked: {error.strerror}.") from error
