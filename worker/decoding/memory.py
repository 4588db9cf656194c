"""Memory that a decode child fills and the parent reads without a copy.

On Linux it is an anonymous file (memfd) that the child opens through the parent's /proc entry: it has no name that
could be left behind, it is not bounded by the size of /dev/shm (64 MB in a container), and it is gone as soon as nobody
maps it, even after kill -9. Elsewhere it is a temporary file. Its space is reserved when it is made, so that a lack of
memory is an error here and not a SIGBUS in the child.
"""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import WorkerUnavailable

UInt8Array = npt.NDArray[np.uint8]

_PREFIX = "vireo-frames-"


@dataclass(frozen=True, slots=True)
class SegmentHandle:
    """What a child needs to map the segment. `name` proves that `path` still is this segment and no newer file."""

    path: str
    name: str
    shape: tuple[int, ...]


class Segment:
    """uint8 of a given shape. `close` ends the child's way in; what was mapped stays valid as long as it is referenced.

    Raises: WorkerUnavailable where the machine has not that much memory left.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        size, name = max(prod(shape), 1), f"{_PREFIX}{secrets.token_hex(8)}"
        self._named: Path | None = None
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create(name)
            path = f"/proc/{os.getpid()}/fd/{self._fd}"
        else:
            self._fd, path = tempfile.mkstemp(prefix=name)
            self._named = Path(path)
        try:
            _reserve(self._fd, size)
        except OSError as error:
            self.close()
            raise WorkerUnavailable(
                f"there is no memory for {size / 2**20:.0f} MB of frames", hint="Try again, with fewer views or frames."
            ) from error
        self.handle = SegmentHandle(path, name, shape)

    def map(self) -> UInt8Array:
        """The array. The segment keeps no hold on it, so that it goes when its reader drops it."""
        return _map(self._fd, self.handle.shape)

    def close(self) -> None:
        """Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if self._named is not None:
            self._named.unlink(missing_ok=True)


def map_segment(ticket: SegmentHandle) -> UInt8Array:
    """In the child: the parent's array. Raises: FileNotFoundError once the parent has closed it and so given up."""
    fd = os.open(ticket.path, os.O_RDWR)
    try:
        # the number may meanwhile be another file of the parent's; nothing was written, so just leave
        if ticket.name not in _true_name(fd, ticket.path):
            raise FileNotFoundError(ticket.name)
        return _map(fd, ticket.shape)
    finally:
        os.close(fd)


def _map(fd: int, shape: tuple[int, ...]) -> UInt8Array:
    return np.frombuffer(mmap.mmap(fd, max(prod(shape), 1)), np.uint8)[: prod(shape)].reshape(shape)


def _true_name(fd: int, path: str) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink()) if path.startswith("/proc/") else path


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.truncate(fd, size)
