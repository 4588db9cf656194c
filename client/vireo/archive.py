"""Streams a directory of videos as a zip archive: the files are stored without compression, and no temporary file is
written."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vireo.errors import InvalidRequest
from vireo.transfers import CHUNK

_DATE = (1980, 1, 1, 0, 0, 0)  # a fixed date: the same directory always gives the same bytes


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file on disk and its name in the archive; `size` in bytes."""

    path: Path
    name: str
    size: int


def list_files(directory: Path) -> list[ArchiveFile]:
    """The files below `directory` in a stable order, without hidden ones. Links are followed; each directory is visited
    once.

    Raises: InvalidRequest if there are no files, or a file name is not valid UTF-8.
    """
    files: list[ArchiveFile] = []
    visited: set[str] = set()
    for root, folders, names in os.walk(directory, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not _is_hidden(name)) if real not in visited else []
        visited.add(real)
        for name in sorted(names):
            path = Path(root) / name
            if not _is_hidden(name) and path.is_file():
                files.append(ArchiveFile(path, _archive_name(path.relative_to(directory)), path.stat().st_size))
    if not files:
        raise InvalidRequest(
            f"{directory} holds no files.",
            hint="A dataset has one folder of videos per class, or a manifest.csv beside the videos.",
        )
    return files


def stream(files: list[ArchiveFile]) -> Iterator[bytes]:
    """The bytes of the zip archive. Raises: OSError if a file cannot be read."""
    buffer = _DrainedBuffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.name, _DATE)
            info.file_size = file.size
            with file.path.open("rb") as source, archive.open(info, "w", force_zip64=file.size > 1 << 30) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield buffer.drain()
    yield buffer.drain()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _archive_name(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"The file name {os.fsencode(name)!r} is not valid UTF-8.", hint="Rename the file."
        ) from None
    return name


class _DrainedBuffer(io.RawIOBase):
    """A write-only stream without seek; `drain` takes out what was written since the last call."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._chunks.append(chunk)
        return len(chunk)

    def drain(self) -> bytes:
        drained, self._chunks = b"".join(self._chunks), []
        return drained
