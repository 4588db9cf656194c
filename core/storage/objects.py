"""A store behind fsspec: S3, GCS and others. It has no rename and no directories, and each look at it is a request.

A file is written by one request, which readers see whole or not at all. A directory is written file by file, and its
marker last; to delete it, the marker goes first. Readers use copies on this machine (`core/storage/spool.py`), and a
copy only after one look that says that the store still has the file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec

from core.errors import Conflict
from core.storage import durable
from core.storage.failures import reading, writing
from core.storage.spool import Spool
from core.storage.stored_file import StoredFile

_LISTING = 1000  # names that one request lists
_NO_END = 1 << 40


class ObjectFiles:
    """Raises: StorageUnavailable for every error of the store."""

    remote = True

    def __init__(self, files: fsspec.AbstractFileSystem, root: str, spool: Spool) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._spool = spool
        self.partial = spool.partial

    def put(self, part: Path, key: str) -> None:
        with writing(key):
            self._files.put_file(str(part), self._remote(key))
        part.unlink(missing_ok=True)

    def create(self, part: Path, key: str) -> None:
        """For a small file. Raises: FileExistsError."""
        self._create(part.read_bytes(), key)
        part.unlink(missing_ok=True)

    def put_tree(self, directory: Path, key: str, marker: str) -> None:
        """Raises: Conflict where `key` is a published directory with other content."""
        if self.exists(f"{key}/{marker}"):
            return self._compare(directory, key, marker)
        files = durable.files_below(directory)
        with writing(key):
            for name in set(self._find(key)) - {f"{key}/{name}" for name in files}:
                self._files.rm_file(self._remote(name))  # the remains of a deletion that was interrupted
            contents = {name: path for name, path in files.items() if name != marker}
            self._files.put(list(map(str, contents.values())), [self._remote(f"{key}/{name}") for name in contents])
        try:
            self._create(files[marker].read_bytes(), f"{key}/{marker}")
        except FileExistsError:  # another process was first
            self._compare(directory, key, marker)

    def _create(self, content: bytes, key: str) -> None:
        """Raises: FileExistsError."""
        with writing(key):
            self._files.pipe_file(self._remote(key), content, mode="create")

    def _compare(self, directory: Path, key: str, marker: str) -> None:
        """Raises: Conflict."""
        with suppress(FileNotFoundError), self.local_tree(key, marker) as published:
            if durable.same_files(directory, published):
                return
        raise Conflict(f"{key} exists already, with other content.")

    @contextmanager
    def local_file(self, key: str) -> Iterator[Path]:
        info = self._info(key)

        def download(path: Path) -> None:
            with reading(key):
                self._files.get_file(self._remote(key), str(path))

        with self._spool.copy(key, _name(key), _stamp(info), lambda: int(info["size"] or 0), download) as path:
            yield path

    @contextmanager
    def local_tree(self, key: str, marker: str) -> Iterator[Path]:
        stamp = _stamp(self._info(f"{key}/{marker}"))

        def size() -> int:
            with reading(key):
                return sum(info["size"] or 0 for info in self._files.find(self._remote(key), detail=True).values())

        def download(path: Path) -> None:
            with reading(key):
                names = {name: path / name.removeprefix(f"{key}/") for name in self._find(key)}
                for target in names.values():
                    target.parent.mkdir(parents=True, exist_ok=True)
                self._files.get([self._remote(name) for name in names], list(map(str, names.values())))
            if not (path / marker).exists():  # deleted while it was copied
                raise FileNotFoundError(key)

        with self._spool.copy(f"{key}/{marker}", _name(key), stamp, size, download) as path:
            yield path

    def fetch(self, key: str, path: Path) -> None:
        with reading(key):
            self._files.get_file(self._remote(key), str(path))

    def read(self, key: str) -> bytes:
        with reading(key):
            content: bytes = self._files.cat_file(
                self._remote(key), start=0, end=_NO_END
            )  # else s3fs asks for the size
        return content

    def exists(self, key: str) -> bool:
        with reading(key):
            return bool(self._files.exists(self._remote(key)))

    def delete(self, key: str) -> None:
        with writing(key), suppress(FileNotFoundError):
            self._files.rm_file(self._remote(key))
        self._spool.drop(key)

    def delete_tree(self, key: str, marker: str) -> None:
        self.delete(f"{key}/{marker}")
        with writing(key), suppress(FileNotFoundError):
            if remains := self._find(key):
                self._files.rm([self._remote(name) for name in remains])

    def children(self, key: str) -> list[str]:
        with reading(key):
            found = self._files.ls(self._remote(key), detail=False)
        return [_name(str(path).rstrip("/")) for path in found]

    def find(self, key: str) -> list[str]:
        with reading(key):
            return self._find(key)

    def listing(self, key: str) -> dict[str, StoredFile]:
        start = len(self._files._strip_protocol(self._root)) + 1
        with reading(key or "files"):
            found = self._files.find(self._remote(key) if key else self._root, detail=True)
        return {
            str(path)[start:]: StoredFile(int(info["size"] or 0), _modified(info), _stamp(info))
            for path, info in found.items()
        }

    def check_copies(self) -> int:
        """Delete the copies of what the store no longer has, except those in use. Returns how many."""
        keys = self._spool.keys()
        many = {folder for folder, count in Counter(map(_folder, keys)).items() if count > _LISTING // 10}
        listed = {f"{folder}/{name}" for folder in many for name in self._children_or_none(folder)}
        gone = [key for key in keys if (key not in listed if _folder(key) in many else not self.exists(key))]
        return sum(self._spool.drop(key) for key in gone)

    def _children_or_none(self, key: str) -> list[str]:
        with suppress(FileNotFoundError):
            return self.children(key)
        return []

    def _find(self, key: str) -> list[str]:
        start = len(self._files._strip_protocol(self._root)) + 1
        return [str(path)[start:] for path in self._files.find(self._remote(key))]

    def _info(self, key: str) -> dict[str, Any]:
        """Raises: FileNotFoundError."""
        with reading(key):
            info: dict[str, Any] = self._files.info(self._remote(key))
            if info["type"] == "directory":
                raise FileNotFoundError(key)
        return info

    def _remote(self, key: str) -> str:
        return f"{self._root}/{key}"


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _modified(info: dict[str, Any]) -> float:
    """Unix seconds; now where the store does not say it."""
    said = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if info.get(name)), None)
    if isinstance(said, str):
        said = datetime.fromisoformat(said)
    return said.timestamp() if isinstance(said, datetime) else float(said or time.time())


def _stamp(info: dict[str, Any]) -> str:
    """What tells this version of a file from another one under the same key."""
    return str(info.get("ETag") or info.get("etag") or (info["size"], info.get("mtime") or info.get("created")))
