"""A store in a directory of this machine, or on a network file system. Every step that readers see is one rename."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import Conflict
from core.storage import durable
from core.storage.failures import reading, writing
from core.storage.partial import Partial
from core.storage.stored_file import StoredFile


class DirectoryFiles:
    """Raises: StorageUnavailable where the disk fails or is full."""

    remote = False

    def __init__(self, root: Path) -> None:
        self._root = root
        # On the same file system as the store, because a rename works only there.
        self.partial = Partial(root / "partial")
        with writing("partial"):
            durable.make_directories(self.partial.directory)

    def put(self, part: Path, key: str) -> None:
        """Move a finished file of `partial` to `key`, replacing what was there."""
        with writing(key):
            durable.sync(part)
            durable.move(part, self._root / key)

    def create(self, part: Path, key: str) -> None:
        """Like `put`, for a key that must not exist. Raises: FileExistsError."""
        with writing(key), self._exclusive():
            if (self._root / key).exists():
                raise FileExistsError(key)
            self.put(part, key)

    def put_tree(self, directory: Path, key: str, marker: str) -> None:
        """Raises: Conflict where `key` is a published directory with other content."""
        target = self._root / key
        with writing(key):
            durable.sync_tree(directory)
            while True:
                with self._exclusive():
                    if not (target / marker).exists():
                        self._discard(target)  # the remains of a deletion that was interrupted
                        durable.move(directory, target)
                        return
                with suppress(FileNotFoundError):  # it was deleted meanwhile
                    if durable.same_files(directory, target):
                        return
                    raise Conflict(f"{key} exists already, with other content.")

    @contextmanager
    def local_file(self, key: str) -> Iterator[Path]:
        path = self._root / key
        with reading(key):
            if not path.is_file():
                raise FileNotFoundError(key)
        yield path

    @contextmanager
    def local_tree(self, key: str, marker: str) -> Iterator[Path]:
        with self.local_file(f"{key}/{marker}") as path:
            yield path.parent

    def fetch(self, key: str, path: Path) -> None:
        with reading(key):
            shutil.copyfile(self._root / key, path)

    def read(self, key: str) -> bytes:
        with reading(key):
            return (self._root / key).read_bytes()

    def exists(self, key: str) -> bool:
        with reading(key):
            return (self._root / key).exists()

    def delete(self, key: str) -> None:
        with writing(key):
            (self._root / key).unlink(missing_ok=True)

    def delete_tree(self, key: str, marker: str) -> None:  # noqa: ARG002 - one rename needs no marker
        """The whole directory vanishes in one step."""
        with writing(key):
            with self._exclusive():
                doomed = self._discard(self._root / key)
            if doomed:
                shutil.rmtree(doomed, ignore_errors=True)  # what is left of it is swept

    def children(self, key: str) -> list[str]:
        with reading(key):
            return [path.name for path in (self._root / key).iterdir()]

    def find(self, key: str) -> list[str]:
        with reading(key):  # `walk` passes over what is deleted meanwhile
            return [
                (Path(folder) / name).relative_to(self._root).as_posix()
                for folder, _, names in os.walk(self._root / key)
                for name in names
            ]

    def listing(self, key: str) -> dict[str, StoredFile]:
        found: dict[str, StoredFile] = {}
        with reading(key or "files"):
            for folder, folders, names in os.walk(self._root / key):
                if Path(folder) == self._root:
                    folders[:] = [name for name in folders if name != self.partial.directory.name]
                for path in (Path(folder) / name for name in names):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        about = path.stat()
                        stamp = f"{about.st_size} {about.st_mtime_ns} {about.st_ino}"
                        name = path.relative_to(self._root).as_posix()
                        found[name] = StoredFile(about.st_size, about.st_mtime, stamp)
        return found

    def check_copies(self) -> int:
        return 0  # readers use the files themselves

    def _discard(self, target: Path) -> Path | None:
        """Move a directory to where the sweep finds it, if it exists. The caller holds the lock."""
        if not target.exists():
            return None
        doomed = self.partial.new()
        durable.move(target, doomed)
        durable.sync(target.parent)
        return doomed

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Nobody else publishes or deletes a directory meanwhile, in any process of any host."""
        with (self.partial.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
