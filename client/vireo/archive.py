"""A directory of videos as a zip that is made while it is sent: stored, not deflated, and nothing written to disk."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vireo.errors import InvalidRequest

CHUNK = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # the same directory gives the same bytes


@dataclass(frozen=True, slots=True)
class Entry:
    path: Path
    name: str
    size: int


def entries(directory: Path) -> list[Entry]:
    """Its files in a stable order, without those that are hidden. Links are followed, each directory once.

    Raises: InvalidRequest where there are none, or a name is not text.
    """
    found: list[Entry] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not _hidden(name)) if real not in seen else []
        seen.add(real)
        for name in sorted(files):
            path = Path(root) / name
            if not _hidden(name) and path.is_file():
                found.append(Entry(path, _text(path.relative_to(directory)), path.stat().st_size))
    if not found:
        raise InvalidRequest(
            f"{directory} holds no files.", hint="A folder per class with videos inside, or manifest.csv beside them."
        )
    return found


def stream(files: list[Entry]) -> Iterator[bytes]:
    """The zip's bytes. Raises: OSError where a file cannot be read."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for entry in files:
            info = zipfile.ZipInfo(entry.name, _DATE)
            info.file_size = entry.size
            with entry.path.open("rb") as source, archive.open(info, "w", force_zip64=entry.size > 1 << 30) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield pipe.take()
    yield pipe.take()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"The file name {os.fsencode(name)!r} is not UTF-8.", hint="Rename it.") from None
    return name


class _Pipe(io.RawIOBase):
    """What is written can be taken out again; there is no going back in it."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._chunks.append(chunk)
        return len(chunk)

    def take(self) -> bytes:
        taken, self._chunks = b"".join(self._chunks), []
        return taken
