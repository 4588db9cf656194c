"""Files that survive a loss of power: bytes are on the disk before a name leads to them.

A rename alone does not do this. After a crash the new name may lead to an empty file, or may be missing, although
the user was told that the file is stored.
"""

from __future__ import annotations

import errno
import filecmp
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}  # on some network file systems a directory cannot be synced
_PARALLEL = 16  # syncs at the same time: a journal commits many of them at once


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a directory, are on the disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Wait until everything below `directory` is on the disk, and the directory itself. Raises: OSError."""
    paths = [*files_below(directory).values(), *(path for path in directory.rglob("*") if path.is_dir())]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(sync, paths):
            pass
    sync(directory)


def move(source: Path, target: Path) -> None:
    """Rename within one file system, replacing a file. The caller has synced `source`. Raises: OSError."""
    make_directories(target.parent)
    source.replace(target)
    sync(target.parent)


def make_directories(directory: Path) -> None:
    """Create a directory and its parents. Their names are on the disk afterwards. Raises: OSError."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def files_below(directory: Path) -> dict[str, Path]:
    """The files of a directory, by their path relative to it."""
    return {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}


def same_files(one: Path, other: Path) -> bool:
    """Whether two directories hold the same files with the same bytes. Raises: OSError."""
    files, others = files_below(one), files_below(other)
    return files.keys() == others.keys() and all(
        filecmp.cmp(path, others[name], shallow=False) for name, path in files.items()
    )
