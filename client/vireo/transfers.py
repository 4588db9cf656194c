"""Uploads and downloads that report their progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

TransferProgress = Callable[[int, int], None]
"""Called during a transfer with the bytes moved so far and the total number of bytes."""

CHUNK = 1 << 20  # bytes


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


class JsonLines:
    """The lines of a JSONL file that arrives in pieces. Only a newline ends a line: JSON has the other line separators
    in its texts."""

    def __init__(self) -> None:
        self._rest = ""

    def add(self, text: str) -> list[str]:
        """The lines that end in this piece."""
        *lines, self._rest = (self._rest + text).split("\n")
        return [line for line in lines if line]

    def end(self) -> list[str]:
        """The last line, if no newline ends it."""
        return [self._rest] if self._rest else []
