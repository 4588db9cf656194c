"""Copies of a remote store's files on this machine: a cache of bounded size, shared by all processes of the machine.

    <spool>/copies/<digest of key and stamp>/
        lock         held shared by readers, and exclusively by the process that fills or deletes the copy
        about.json   key, and size in bytes
        content/     the file or the directory, under its own name; it exists once it is complete

The least recently used copies are deleted first, and never a copy that somebody reads. A lock ends with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.storage import durable
from core.storage.failures import room_for
from core.storage.partial import PARTS, Partial

log = logging.getLogger(__name__)

_COPIES = "copies"


@dataclass(frozen=True, slots=True)
class _Copy:
    directory: Path
    key: str
    size: int
    used_at: float


class Spool:
    def __init__(self, directory: Path, limit: int) -> None:
        """`limit`: most bytes of all copies together. One copy is always allowed, whatever its size."""
        self.directory = directory
        self.partial = Partial(directory)
        self._copies = directory / _COPIES
        self._limit = limit
        self._copies.mkdir(parents=True, exist_ok=True)
        self._delete_leftovers()

    @contextmanager
    def copy(
        self, key: str, name: str, stamp: str, size: Callable[[], int], download: Callable[[Path], None]
    ) -> Iterator[Path]:
        """The copy of `key`, a path that ends in `name`. It stays until the block ends.

        `stamp`: tells this content of the key from another. `size`: its bytes, asked where there is no copy yet;
        `download` then writes it to a path. Raises: StorageUnavailable where the disk is full.
        """
        directory = self._copies / hashlib.sha256(f"{key}\0{stamp}".encode()).hexdigest()[:32]
        with ExitStack() as lock:
            with room_for(key):
                while not self._acquire(directory, lock):
                    with _locked(directory, fcntl.LOCK_EX) as held:
                        if held and not (directory / "content").exists():
                            self._fill(directory, name, {"key": key, "size": size()}, download)
            yield directory / "content" / name

    @staticmethod
    def _acquire(directory: Path, lock: ExitStack) -> bool:
        """Hold the complete copy until `lock` is closed. Returns False if there is none."""
        with ExitStack() as attempt:
            held = attempt.enter_context(_locked(directory, fcntl.LOCK_SH))
            if not held or not (directory / "content").exists():
                return False
            os.utime(directory / "lock")
            lock.push(attempt.pop_all())
            return True

    def drop(self, key: str) -> int:
        """Delete all copies of `key` that nobody reads. Returns how many."""
        return sum(self._delete(copy) for copy in self._list() if copy.key == key)

    def keys(self) -> list[str]:
        return sorted({copy.key for copy in self._list()})

    def _fill(self, directory: Path, name: str, about: dict[str, Any], download: Callable[[Path], None]) -> None:
        """The caller holds the lock."""
        part = directory / "part"
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed while it filled it
        try:
            (directory / "about.json").write_text(json.dumps(about))
            self._make_room(except_for=directory)
            part.mkdir()
            download(part / name)
            durable.sync_tree(part)
            durable.move(part, directory / "content")
        except BaseException:
            self._discard(directory)
            raise

    def _make_room(self, except_for: Path) -> None:
        copies = sorted(self._list(), key=lambda copy: copy.used_at)
        excess = sum(copy.size for copy in copies) - self._limit
        for copy in copies:
            if excess <= 0:
                return
            if copy.directory != except_for and self._delete(copy):
                excess -= copy.size
        if excess > 0:
            log.warning("%s holds %d bytes more than VIREO_SPOOL_BYTES: all copies are in use", self.directory, excess)

    def _list(self) -> list[_Copy]:
        found: list[_Copy] = []
        for directory in self._copies.iterdir():
            with suppress(OSError, ValueError):  # deleted meanwhile, or not filled yet
                about = json.loads((directory / "about.json").read_text())
                found.append(_Copy(directory, about["key"], about["size"], (directory / "lock").stat().st_mtime))
        return found

    def _delete(self, copy: _Copy) -> bool:
        """Returns False if somebody reads it."""
        try:
            with _locked(copy.directory, fcntl.LOCK_EX | fcntl.LOCK_NB, create=False) as held:
                if held:
                    self._discard(copy.directory)
                return held
        except BlockingIOError:
            return False

    def _discard(self, directory: Path) -> None:
        """The caller holds the lock. A process that waits for it finds another lock, or none, and starts again."""
        doomed = self.partial.new()
        directory.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _delete_leftovers(self) -> None:
        """Of earlier versions of Vireo, which kept copies here for ever."""
        for path in self.directory.iterdir():
            if path.name == "trees":
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file() and path.suffix not in PARTS:
                path.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path, operation: int, *, create: bool = True) -> Iterator[bool]:
    """Yields False if the directory was deleted before this process had its lock. Raises: OSError."""
    if create:
        with suppress(FileExistsError):  # not `exist_ok`: it fails where the directory is deleted in the same moment
            directory.mkdir(parents=True)
    path = directory / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, operation)
        yield _is_open_at(path, descriptor)
    finally:
        os.close(descriptor)


def _is_open_at(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
