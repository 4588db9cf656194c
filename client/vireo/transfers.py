"""Files on their way over HTTP, which tell how far they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Progress = Callable[[int, int], None]  # bytes done, bytes in all
CHUNK = 1 << 20


class CountingFile(io.FileIO):
    """A file that tells how much of it has been read, so that an upload can show its progress."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(path, "rb")
        self._size = path.stat().st_size
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        if self._progress:
            self._progress(min(self.tell(), self._size), self._size)
        return chunk


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def counted(pieces: Iterable[bytes], size: int, progress: Progress | None) -> Iterator[bytes]:
    """The same pieces; `progress` learns of each that was taken."""
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        if progress:
            progress(min(done, size), size)
    if progress:
        progress(size, size)
