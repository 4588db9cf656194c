"""A thread that deletes features of clips whose datasets have been deleted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.errors import StorageUnavailable

log = logging.getLogger(__name__)


class FeatureUpkeep:
    def __init__(self, sweep: Callable[[], None], seconds: float) -> None:
        """seconds: between two sweeps. The first one starts at once: this machine may have been away."""
        self._sweep, self._seconds = sweep, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feature upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while True:
            try:
                self._sweep()
            except (StorageUnavailable, OSError) as error:
                log.warning("features of deleted datasets were not looked for: %s", error)
            if self._stopped.wait(self._seconds):
                return
