"""Memory that a decode child fills and the parent reads without a copy.

On Linux a segment is an anonymous file (memfd). It leaves no name behind, it is not limited by the size of /dev/shm
(64 MB in a container), and the kernel frees it as soon as no process maps it, even after kill -9. Elsewhere it is a
temporary file without a name. Its space is reserved when it is created, so that a lack of memory is an error in the
parent, and its size is sealed, because reading what a child has cut off would end the parent.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from math import prod

import numpy as np

from core.errors import WorkerUnavailable
from models.frames.arrays import UInt8Array


class Segment:
    """A uint8 array of a given shape. `close` it when the child has its copy of the descriptor; arrays that are mapped
    stay valid.

    Raises: WorkerUnavailable if the machine does not have enough free memory.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        size = max(prod(shape), 1)
        self.fd = _anonymous_file()
        try:
            _reserve(self.fd, size)
        except OSError as error:
            self.close()
            raise WorkerUnavailable(
                f"The worker has no memory for {size / 2**20:.0f} MB of frames.",
                hint="Try again, or ask for fewer views or frames.",
            ) from error

    def map(self) -> UInt8Array:
        """The array. The segment keeps no reference to it, so its memory is freed when the reader drops it."""
        return map_segment(self.fd, self._shape)

    def close(self) -> None:
        """Safe to call twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def map_segment(fd: int, shape: tuple[int, ...]) -> UInt8Array:
    """The array behind the descriptor of a segment, in the parent or in the child."""
    return np.frombuffer(mmap.mmap(fd, max(prod(shape), 1)), np.uint8)[: prod(shape)].reshape(shape)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("vireo-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.truncate(fd, size)
    if hasattr(os, "memfd_create"):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
