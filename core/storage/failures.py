"""What a store raises, as errors that users can read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import StorageUnavailable, VireoError


@contextmanager
def reading(key: str) -> Iterator[None]:
    """Raises: StorageUnavailable for everything but a key that does not exist: FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, VireoError):
        raise
    except Exception as error:  # the packages for object stores have exceptions of their own
        raise _unavailable("read from", key, error) from error


@contextmanager
def writing(key: str) -> Iterator[None]:
    """Raises: StorageUnavailable; FileExistsError for a key that was to be created."""
    try:
        yield
    except (FileExistsError, VireoError):
        raise
    except Exception as error:
        raise _unavailable("written to", key, error) from error


@contextmanager
def room_for(key: str) -> Iterator[None]:
    """Raises: StorageUnavailable where this machine's disk fails or is full."""
    try:
        yield
    except (FileNotFoundError, VireoError):
        raise
    except OSError as error:
        raise _unavailable("copied from", key, error) from error


@contextmanager
def filling(what: str) -> Iterator[None]:
    """Raises: StorageUnavailable where the disk is full. Other errors are the block's own."""
    try:
        yield
    except OSError as error:
        if disk_is_full(error):
            raise _unavailable("written to", what, error) from error
        raise


def disk_is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _unavailable(done: str, key: str, error: Exception) -> StorageUnavailable:
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return StorageUnavailable(
        f"{key} could not be {done} the store: {reason[:300]}.",
        hint="Try again soon. GET /readyz says whether the store works.",
    )
