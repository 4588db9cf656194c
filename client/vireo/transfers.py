"""Uploads and downloads that report their progress."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

TransferProgress = Callable[[int, int], None]
"""Called during a transfer with the bytes moved so far and the total number of bytes."""

CHUNK = 1 << 20  # bytes


class CountingFile(io.FileIO):
    """A file that reports how much of it has been read, so that an upload can show its progress."""

    def __init__(self, path: Path, progress: TransferProgress | None) -> None:
        super().__init__(path, "rb")
        self._size = path.stat().st_size
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        if self._progress:
            self._progress(min(self.tell(), self._size), self._size)
        return chunk


def chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, in pieces of at most `CHUNK` bytes. Raises: OSError."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def counted(pieces: Iterable[bytes], size: int, progress: TransferProgress | None) -> Iterator[bytes]:
    """The same pieces; `progress` is called after each one that was consumed. `size`: bytes in all."""
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        if progress:
            progress(min(done, size), size)
    if progress:
        progress(size, size)


def json_lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of a JSONL file that arrives in pieces. Only a newline ends a line: JSON has the other line separators
    in its texts."""
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        yield from filter(None, lines)
    if rest:
        yield rest
