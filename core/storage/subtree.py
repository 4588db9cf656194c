"""The part of a store below one key, as a store of its own. Partial files and copies are those of the whole store."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from core.storage.directory import DirectoryFiles
from core.storage.objects import ObjectFiles
from core.storage.stored_file import StoredFile

WholeFiles = DirectoryFiles | ObjectFiles


class Subtree:
    """Every method takes and gives keys below `key`, and otherwise does what the whole store does."""

    def __init__(self, files: WholeFiles, key: str) -> None:
        self._files = files
        self._key = key
        self.remote = files.remote
        self.partial = files.partial

    def put(self, part: Path, key: str) -> None:
        self._files.put(part, self._below(key))

    def create(self, part: Path, key: str) -> None:
        self._files.create(part, self._below(key))

    def put_tree(self, directory: Path, key: str, marker: str) -> None:
        self._files.put_tree(directory, self._below(key), marker)

    def local_file(self, key: str) -> AbstractContextManager[Path]:
        return self._files.local_file(self._below(key))

    def local_tree(self, key: str, marker: str) -> AbstractContextManager[Path]:
        return self._files.local_tree(self._below(key), marker)

    def fetch(self, key: str, path: Path) -> None:
        self._files.fetch(self._below(key), path)

    def read(self, key: str) -> bytes:
        return self._files.read(self._below(key))

    def exists(self, key: str) -> bool:
        return self._files.exists(self._below(key))

    def delete(self, key: str) -> None:
        self._files.delete(self._below(key))

    def delete_tree(self, key: str, marker: str) -> None:
        self._files.delete_tree(self._below(key), marker)

    def children(self, key: str) -> list[str]:
        return self._files.children(self._below(key))

    def find(self, key: str) -> list[str]:
        return [name.removeprefix(f"{self._key}/") for name in self._files.find(self._below(key))]

    def listing(self, key: str) -> dict[str, StoredFile]:
        found = self._files.listing(self._below(key) if key else self._key)
        return {name.removeprefix(f"{self._key}/"): file for name, file in found.items()}

    def check_copies(self) -> int:
        return self._files.check_copies()

    def _below(self, key: str) -> str:
        return f"{self._key}/{key}"
