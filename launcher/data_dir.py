"""The data directory belongs to one copy at a time. Commands that work on it find out whether a copy is running."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.settings import Settings


class InUse(Exception):
    """A running copy has the data directory."""


@contextmanager
def hold_data_dir(settings: Settings) -> Iterator[None]:
    """Hold the data directory for this process alone. Raises: InUse."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "lock").open("a") as lock:  # a second copy must not empty it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InUse(f"Another copy is running on {settings.data_dir}.") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def redis_address(settings: Settings) -> Path:
    """The file in which a running copy writes the URL of its embedded Redis."""
    return settings.run_dir / "redis.url"
