"""Stage times of one request. The answer and Prometheus get the same numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.prometheus import STAGE_SECONDS
from core.records import Timings
from core.tracing.spans import span


class Stopwatch:
    def __init__(self, queued_seconds: float, *, observed: bool = True) -> None:
        """observed: whether Prometheus gets the times: of answers, not of work that nobody waits for."""
        self._observed = observed
        self._start = time.perf_counter()
        self._queued = max(0.0, queued_seconds)
        self._stages: dict[str, float] = {}
        self._observe("queue", self._queued)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """`name`: a field of Timings."""
        start = time.perf_counter()
        try:
            with span(name):
                yield
        finally:
            self.note(name, time.perf_counter() - start)

    def note(self, name: str, seconds: float) -> None:
        """A stage that went on beside others. `name`: a field of Timings."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds
        self._observe(name, seconds)

    def _observe(self, stage: str, seconds: float) -> None:
        if self._observed:
            STAGE_SECONDS.labels(stage).observe(seconds)

    def timings(self) -> Timings:
        total = self._queued + time.perf_counter() - self._start
        seconds = self._stages | {"queue": self._queued, "total": total}
        return Timings(**{name: round(value * 1000, 2) for name, value in seconds.items()})
