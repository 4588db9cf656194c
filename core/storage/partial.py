"""Partial files and directories: what processes write before it is published, in a folder of the same file system.

    <writer>.writer           locked by the process that writes for as long as it lives
    <writer>-<random>.part    what it writes

The kernel gives a lock back when its process ends, however that happens. So what a dead process has left is known at
once, also in another container, or where a new process has its number. Earlier versions of Vireo named no writer: what
they have left is known by its age.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

STALE_AFTER: Final = 6 * 3600.0  # seconds after which what names no writer is taken to be abandoned
PART: Final = ".part"
WRITER: Final = ".writer"
_UNLOCKED: Final = ".new"  # of a writer's file, until it is locked
PARTS: Final = (PART, WRITER, _UNLOCKED)
"""The suffixes of everything here."""


class Partial:
    def __init__(self, directory: Path) -> None:
        """directory: where the parts are; it must exist when the first one is made."""
        self.directory = directory
        self._guard = threading.Lock()
        self._writer: _Writer | None = None

    def new(self) -> Path:
        """The path of a new part. This object must live for as long as the part. Raises: OSError."""
        with self._guard:
            if self._writer is None or self._writer.process != os.getpid():  # a fork has a life of its own
                self._writer = _Writer(self.directory)
            return self.directory / f"{self._writer.name}-{secrets.token_hex(12)}{PART}"

    def abandoned(self) -> list[tuple[Path, int]]:
        """Parts whose writer died, and their bytes. Raises: OSError."""
        found, lives = list[tuple[Path, int]](), dict[str, bool | None]()
        for path in self.directory.glob(f"*{PART}"):
            writer = path.name.partition("-")[0]
            if writer not in lives:
                lives[writer] = _lives(self._file_of(writer))
            with suppress(FileNotFoundError):  # published, or deleted by another sweep
                if lives[writer] is False or (lives[writer] is None and _is_old(path)):
                    found.append((path, _bytes(path)))
        return found

    def sweep(self) -> int:
        """Delete the parts whose writer died. Returns their number. Raises: OSError."""
        abandoned = self.abandoned()
        for path, _ in abandoned:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in self.directory.glob(f"*{WRITER}"):
            if _lives(path) is False and not any(self.directory.glob(f"{path.stem}-*{PART}")):
                path.unlink(missing_ok=True)
        for path in self.directory.glob(f"*{_UNLOCKED}"):
            with suppress(FileNotFoundError):
                if _is_old(path):
                    path.unlink()
        return len(abandoned)

    def _file_of(self, writer: str) -> Path:
        return self.directory / f"{writer}{WRITER}"


class _Writer:
    """This process as a writer. It gets its file's name only after the lock, so no sweep finds it unlocked."""

    def __init__(self, directory: Path) -> None:
        self.name = secrets.token_hex(6)
        self.process = os.getpid()
        path = directory / f"{self.name}{WRITER}"
        descriptor = os.open(path.with_suffix(_UNLOCKED), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        weakref.finalize(self, _end, path, descriptor, self.process)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        path.with_suffix(_UNLOCKED).rename(path)


def _end(path: Path, descriptor: int, process: int) -> None:
    """At the end of a writer that is not killed."""
    if os.getpid() == process:
        path.unlink(missing_ok=True)
    os.close(descriptor)


def _lives(file: Path) -> bool | None:
    """Whether the process lives whose file this is; None if that cannot be known, because there is no such file."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_old(path: Path) -> bool:
    """Raises: FileNotFoundError."""
    return path.stat().st_mtime < time.time() - STALE_AFTER


def _bytes(path: Path) -> int:
    """Raises: FileNotFoundError."""
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
