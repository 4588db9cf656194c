"""Which shared segments of frames this process holds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def open_segments() -> set[int]:
    """Inode numbers: a segment that another test left differs from those of this one."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if "vireo-frames" in str(entry.readlink()):
                found.add(entry.stat().st_ino)
    return found
