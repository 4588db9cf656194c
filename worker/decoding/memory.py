"""Memory that a decode child fills and the parent reads without a copy.

On Linux a segment is an anonymous file (memfd), which the child opens through the parent's /proc entry. It leaves no
name behind, it is not limited by the size of /dev/shm (64 MB in a container), and the kernel frees it as soon as no
process maps it, even after kill -9. Elsewhere it is a temporary file. The space is reserved when the segment is
created, so that a lack of memory is an error in the parent and not a SIGBUS in the child.
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

from core.errors import WorkerUnavailable
from models.frames.arrays import UInt8Array

_PREFIX = "vireo-frames-"


@dataclass(frozen=True, slots=True)
class SegmentHandle:
    """What a child needs to map the segment. `name` proves that `path` still is this segment and not a newer file."""

    path: str
    name: str
    shape: tuple[int, ...]


class Segment:
    """A uint8 array of a given shape. After `close` no child can open it; arrays that are mapped stay valid.

    Raises: WorkerUnavailable if the machine does not have enough free memory.
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
                f"The worker has no memory for {size / 2**20:.0f} MB of frames.",
                hint="Try again, or ask for fewer views or frames.",
            ) from error
        self.handle = SegmentHandle(path, name, shape)

    def map(self) -> UInt8Array:
        """The array. The segment keeps no reference to it, so its memory is freed when the reader drops it."""
        return _map(self._fd, self.handle.shape)

    def close(self) -> None:
        """Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if self._named is not None:
            self._named.unlink(missing_ok=True)


def map_segment(handle: SegmentHandle) -> UInt8Array:
    """In the child: the parent's array. Raises: FileNotFoundError if the parent has closed the segment."""
    fd = os.open(handle.path, os.O_RDWR)
    try:
        # the parent may have reused the number for another file; nothing is written to it
        if handle.name not in _file_name(fd, handle.path):
            raise FileNotFoundError(handle.name)
        return _map(fd, handle.shape)
    finally:
        os.close(fd)


def _map(fd: int, shape: tuple[int, ...]) -> UInt8Array:
    return np.frombuffer(mmap.mmap(fd, max(prod(shape), 1)), np.uint8)[: prod(shape)].reshape(shape)


def _file_name(fd: int, path: str) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink()) if path.startswith("/proc/") else path


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.truncate(fd, size)
