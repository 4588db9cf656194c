"""Upkeep of what this machine keeps: work that is done at once, and then every so many seconds, in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.errors import StorageUnavailable
from core.storage.store import Store

log = logging.getLogger(__name__)


class Upkeep:
    def __init__(self, what: str, work: Callable[[], object], seconds: float) -> None:
        """what: names the work in the log; seconds: between two times. The first one is at once, because this machine
        may have been away."""
        self._what, self._work, self._seconds = what, work, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=what, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except (StorageUnavailable, OSError) as error:
                log.warning("%s failed, and is tried again: %s", self._what, error)
            if self._stopped.wait(self._seconds):
                return


def store_upkeep(store: Store, seconds: float) -> Upkeep:
    """Deletes from this machine what a remote store no longer has, and partial files of dead processes."""
    return Upkeep("the upkeep of the store", lambda: _drop_copies(store), seconds)


def _drop_copies(store: Store) -> None:
    if not store.remote:
        return  # a store in a directory has no copies
    store.sweep()
    if dropped := store.check_copies():
        log.info("deleted %d copies of files that the store no longer has", dropped)
