"""A file on its way into the store: hashed while it is written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from core.errors import StorageUnavailable


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
        """Raises: StorageUnavailable where the disk is full."""
        try:
            self._file.close()
        except OSError as error:  # the last bytes were still in the buffer
            raise StorageUnavailable(f"The upload could not be written: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
