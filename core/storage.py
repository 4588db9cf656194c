"""The artifact store: files under keys, written to a temporary name first and then published atomically.

The store is a directory by default, or any fsspec URL. A writer gets a `Staged` file on the local disk; `publish` makes
it visible under its key in one step. A file that is not published never becomes visible.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import fsspec

from core.errors import StorageUnavailable

STALE_AFTER = 6 * 3600.0  # seconds after which an abandoned partial file is deleted


def blob_key(sha256: str) -> str:
    return f"blobs/{sha256}"


@dataclass(slots=True)
class Staged:
    """A file that is being written and hashed. Leaving the `with` block deletes it unless it was published."""

    path: Path
    _file: BinaryIO
    size: int = 0
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        """Raises: StorageUnavailable where the disk is full."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise StorageUnavailable(f"The upload could not be written: {error.strerror}.") from error
        self._sha256.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class Store:
    """Raises StorageUnavailable while the backing store cannot be reached or is full."""

    def __init__(self, url: str, spool: Path) -> None:
        """`spool`: local directory for partial files and, with a remote store, for copies of files that are read."""
        self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._local = "file" in self._fs.protocol
        # Partial files must be on the file system of a local store, because only there a rename is atomic.
        self._spool = Path(self._root) / "partial" if self._local else spool
        self._spool.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Staged:
        path = self._spool / f"{secrets.token_hex(12)}.part"
        return Staged(path, path.open("xb"))

    def publish(self, staged: Staged, key: str) -> None:
        """Make a staged file visible under `key`, replacing what was there."""
        staged.close()
        try:
            if self._local:
                target = Path(self._root) / key
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.path.replace(target)
            else:
                self._fs.put_file(str(staged.path), self._remote(key))
        except OSError as error:
            raise StorageUnavailable(f"The store refused {key}: {error}.") from error

    def publish_file(self, path: Path, key: str) -> None:
        """Move a finished file from anywhere on this machine to `key`, replacing what was there."""
        part = self._spool / f"{secrets.token_hex(12)}.part"
        try:
            shutil.move(path, part)  # a rename on the same file system, a copy otherwise
            if self._local:
                target = Path(self._root) / key
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
            else:
                self._fs.put_file(str(part), self._remote(key))
        except OSError as error:
            raise StorageUnavailable(f"The store refused {key}: {error}.") from error
        finally:
            part.unlink(missing_ok=True)

    def fetch(self, key: str, path: Path) -> bool:
        """Copy `key` to the caller's file `path`. False if there is no such key."""
        try:
            self._fs.get_file(self._remote(key), str(path))
        except FileNotFoundError:
            return False
        return True

    def local_path(self, key: str) -> Path:
        """The file on this machine; one from a remote store is copied first. Raises: FileNotFoundError."""
        if self._local:
            path = Path(self._root) / key
            if not path.exists():
                raise FileNotFoundError(key)
            return path
        return self._download(key)

    def _download(self, key: str) -> Path:
        path = self._spool / key.replace("/", "_")
        if not path.exists():
            part = path.with_suffix(f".{secrets.token_hex(6)}.part")
            try:
                self._fs.get_file(self._remote(key), str(part))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return path

    def exists(self, key: str) -> bool:
        return bool(self._fs.exists(self._remote(key)))

    def delete(self, key: str) -> None:
        if self.exists(key):
            self._fs.rm_file(self._remote(key))

    @contextmanager
    def stage_tree(self) -> Iterator[Path]:
        """An empty directory on the store's file system. It is deleted at the end unless it was published."""
        path = self._spool / f"{secrets.token_hex(12)}.part"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish_tree(self, directory: Path, key: str, marker: str) -> None:
        """Make a directory of `stage_tree` visible under `key` in one step. A key that exists already is not changed.

        `marker`: the file that readers look for. In a remote store it is written last.
        """
        try:
            if self.exists(f"{key}/{marker}"):
                return
            if self._local:
                target = Path(self._root) / key
                target.parent.mkdir(parents=True, exist_ok=True)
                directory.replace(target)
                directory.mkdir()  # `stage_tree` expects it and removes it
                return
            files = sorted(path for path in directory.rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path == directory / marker):
                self._fs.put_file(str(path), self._remote(f"{key}/{path.relative_to(directory).as_posix()}"))
        except OSError as error:
            if self.exists(f"{key}/{marker}"):  # another process was first
                return
            raise StorageUnavailable(f"The store refused {key}: {error}.") from error

    def local_tree(self, key: str, marker: str) -> Path:
        """The files of a published directory, on this machine. Raises: FileNotFoundError."""
        if not self.exists(f"{key}/{marker}"):
            raise FileNotFoundError(key)
        if self._local:
            return Path(self._root) / key
        copy = self._spool / "trees" / key
        if not (copy / marker).exists():
            part = self._spool / f"{secrets.token_hex(12)}.part"
            self._fs.get(self._remote(key), str(part), recursive=True)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.replace(copy)
            except OSError:
                shutil.rmtree(part, ignore_errors=True)
        return copy

    def delete_tree(self, key: str, marker: str) -> None:
        """Delete a published directory: the marker first, so that readers never see a part of it."""
        self.delete(f"{key}/{marker}")
        if self._fs.exists(self._remote(key)):
            self._fs.rm(self._remote(key), recursive=True)
        if not self._local:
            shutil.rmtree(self._spool / "trees" / key, ignore_errors=True)

    def children(self, key: str) -> list[str]:
        """Names directly below `key`, sorted. Empty if there is no such key."""
        try:
            found = self._fs.ls(self._remote(key), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def read_text(self, key: str) -> str | None:
        """The text under `key`; None if there is no such key. Not for large files."""
        try:
            text: str = self._fs.cat_file(self._remote(key)).decode()
        except FileNotFoundError:
            return None
        return text

    def write_text(self, key: str, text: str) -> None:
        """Write `text` under `key`, replacing what was there in one step."""
        with self.stage() as staged:
            staged.write(text.encode())
            self.publish(staged, key)

    def sweep(self) -> int:
        """Delete partial files whose writer died. Returns their number."""
        stale = [p for p in self._spool.glob("*.part") if time.time() - p.stat().st_mtime > STALE_AFTER]
        for path in stale:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(stale)

    def _remote(self, key: str) -> str:
        return f"{self._root}/{key}"
