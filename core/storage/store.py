"""The artifact store, as the gateway and the workers use it: a directory by default, or any fsspec URL.

A writer gets a `Staged` file, or an empty directory, on the local disk. `publish` makes it visible under its key in one
step, and returns once it would survive a loss of power. What is not published never becomes visible.
"""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core.errors import StorageUnavailable
from core.projects import DEFAULT_PROJECT
from core.settings import GIB, Settings
from core.storage.directory import DirectoryFiles
from core.storage.failures import filling, writing
from core.storage.objects import ObjectFiles
from core.storage.spool import Spool
from core.storage.staged import Staged
from core.storage.stored_file import StoredFile
from core.storage.subtree import Subtree, WholeFiles

_PROJECTS: Final = "projects"


def blob_key(sha256: str) -> str:
    return f"blobs/{sha256}"


class Store:
    """Raises StorageUnavailable while the backing store cannot be reached or is full, whatever its own error was."""

    def __init__(self, url: str, spool: Path, spool_bytes: int = 20 * GIB) -> None:
        """`spool`: local directory for partial files and copies of a remote store; `spool_bytes`: most bytes of the
        copies."""
        try:
            files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise StorageUnavailable(
                f"VIREO_STORE={url.partition('://')[0]}://… needs a Python package that is not installed: {error}.",
                hint="For S3: pip install 'vireo-server[s3]'.",
            ) from error
        self.project = DEFAULT_PROJECT
        self._whole: WholeFiles = (
            DirectoryFiles(Path(root))
            if isinstance(files, LocalFileSystem)
            else ObjectFiles(files, root, Spool(spool, spool_bytes))
        )
        self._files: WholeFiles | Subtree = self._whole

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        return cls(settings.store_url, settings.data_dir.absolute() / "spool", settings.spool_bytes)

    def of(self, project: str) -> Store:
        """The part of the store that holds what belongs to a project: `projects/<project>/`. The default project uses
        the store as it was before there were projects."""
        part = copy(self)
        part.project = project
        part._files = self._whole if project == DEFAULT_PROJECT else Subtree(self._whole, f"{_PROJECTS}/{project}")
        return part

    def projects(self) -> list[str]:
        """The projects that have anything in the store, and the default one."""
        return [DEFAULT_PROJECT, *self.of(DEFAULT_PROJECT).children(_PROJECTS)]

    @property
    def remote(self) -> bool:
        """Whether each look costs a request."""
        return self._files.remote

    def stage(self) -> Staged:
        path = self._part()
        with writing("A new file"):
            return Staged(path, path.open("xb"))

    def publish(self, staged: Staged, key: str) -> None:
        """Make a staged file visible under `key`, replacing what was there."""
        staged.close()
        self._files.put(staged.path, key)

    def publish_file(self, path: Path, key: str) -> None:
        """Move a finished file from anywhere on this machine to `key`, replacing what was there."""
        part = self._part()
        try:
            with writing(key):
                shutil.move(path, part)  # a rename on the same file system, a copy otherwise
                self._files.put(part, key)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def stage_tree(self) -> Iterator[Path]:
        """An empty directory on the store's file system. It is deleted at the end unless it was published.

        Raises: StorageUnavailable where the disk becomes full, whoever writes into the directory.
        """
        path = self._part()
        with writing("A new directory"):
            path.mkdir()
        try:
            with filling("A new directory"):
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish_tree(self, directory: Path, key: str, marker: str) -> None:
        """Make a directory of `stage_tree` visible under `key` in one step. A published directory never changes.

        `marker`: the file that readers look for. In a remote store it is written last.
        Raises: Conflict where `key` exists with other content. The same content may be published again.
        """
        self._files.put_tree(directory, key, marker)

    def local_file(self, key: str) -> AbstractContextManager[Path]:
        """The file on this machine; one from a remote store is copied first, and stays for as long as it is read.

        Costs one look at a remote store. Raises: FileNotFoundError, also where there is still a copy of a file that was
        deleted.
        """
        return self._files.local_file(key)

    def local_tree(self, key: str, marker: str) -> AbstractContextManager[Path]:
        """Like `local_file`, for a published directory. Raises: FileNotFoundError."""
        return self._files.local_tree(key, marker)

    def fetch(self, key: str, path: Path) -> bool:
        """Copy `key` to the caller's file `path`. False if there is no such key."""
        try:
            self._files.fetch(key, path)
        except FileNotFoundError:
            return False
        return True

    def exists(self, key: str) -> bool:
        return self._files.exists(key)

    def delete(self, key: str) -> None:
        """Delete a file, if it exists. Other machines delete their copies when they next look (`check_copies`)."""
        self._files.delete(key)

    def delete_tree(self, key: str, marker: str) -> None:
        """Delete a published directory, if it exists. Readers never see a part of it."""
        self._files.delete_tree(key, marker)

    def children(self, key: str) -> list[str]:
        """Names directly below `key`, sorted. Empty if there is no such key."""
        try:
            return sorted(self._files.children(key))
        except FileNotFoundError:
            return []

    def find(self, key: str) -> list[str]:
        """The keys of all files below `key`, at any depth, sorted. One look per thousand files."""
        try:
            return sorted(self._files.find(key))
        except FileNotFoundError:
            return []

    def listing(self, key: str = "") -> dict[str, StoredFile]:
        """All files below `key`, at any depth, by their keys. One look per thousand files."""
        try:
            return self._files.listing(key)
        except FileNotFoundError:
            return {}

    def read(self, key: str) -> bytes | None:
        """The bytes under `key`; None if there is no such key. Not for large files."""
        try:
            return self._files.read(key)
        except FileNotFoundError:
            return None

    def read_text(self, key: str) -> str | None:
        content = self.read(key)
        return None if content is None else content.decode()

    def write_text(self, key: str, text: str) -> None:
        """Write `text` under `key`, replacing what was there in one step."""
        with self.stage() as staged:
            staged.write(text.encode())
            self.publish(staged, key)

    def create_text(self, key: str, text: str) -> bool:
        """Write `text` under a key that does not exist yet. False if it exists: of several writers one succeeds."""
        with self.stage() as staged:
            staged.write(text.encode())
            staged.close()
            try:
                self._files.create(staged.path, key)
            except FileExistsError:
                return False
        return True

    def check(self) -> None:
        """Write, read and delete a file. Raises: StorageUnavailable."""
        key = f"checks/{socket.gethostname()}-{secrets.token_hex(6)}"
        try:
            self.write_text(key, key)
            if self.read_text(key) != key:
                raise StorageUnavailable("A file that was just written could not be read from the store.")
        finally:
            self.delete(key)

    def stale_parts(self) -> list[tuple[Path, int]]:
        """Partial files and directories whose writer died, and their bytes."""
        return self._files.partial.abandoned()

    def sweep(self) -> int:
        """Delete partial files and directories whose writer died. Returns their number."""
        return self._files.partial.sweep()

    def check_copies(self) -> int:
        """Delete this machine's copies of what was deleted elsewhere, except those in use. Returns how many."""
        return self._files.check_copies()

    def _part(self) -> Path:
        with writing("A new file"):
            return self._files.partial.new()
