"""A thread that deletes from this machine what a remote store no longer has, and partial files of dead processes."""

from __future__ import annotations

import logging
import threading

from core.errors import StorageUnavailable
from core.storage.store import Store

log = logging.getLogger(__name__)


class Upkeep:
    def __init__(self, store: Store, seconds: float) -> None:
        """`seconds`: between two searches. The first one starts at once: this machine may have been away."""
        self._store = store
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store upkeep", daemon=True)

    def start(self) -> None:
        """A store in a directory has no copies: nothing is started for it."""
        if self._store.remote:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while True:
            try:
                self._store.sweep()
                if dropped := self._store.check_copies():
                    log.info("deleted %d copies of files that the store no longer has", dropped)
            except (StorageUnavailable, OSError) as error:
                log.warning("the copies of the store were not checked: %s", error)
            if self._stopped.wait(self._seconds):
                return
