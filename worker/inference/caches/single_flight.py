"""Single flight: of several threads that need the same new value, one computes it and the others wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SingleFlight:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[str, tuple[threading.Lock, int]] = {}  # key → its lock, and the threads that use it

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Only one thread at a time is inside for the same key. Look the value up again once you are."""
        with self._guard:
            lock, users = self._flights.get(key, (threading.Lock(), 0))
            self._flights[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._flights[key]
                if users == 1:
                    del self._flights[key]
                else:
                    self._flights[key] = (lock, users - 1)

    def __len__(self) -> int:
        """Keys in flight."""
        return len(self._flights)
