"""What waits inside a worker is served in turns of those who asked for it: one who asks for much does not keep the
others waiting. `core.state.fairness` does the same for jobs that wait for a worker.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each piece of work begins, in virtual time, when the asker's last one
ends or now, whichever is later, and the one that begins first is served next.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

ASKER: ContextVar[str] = ContextVar("asker", default="")
"""Who has asked for the job that this thread works for (`core.state.fairness.asked_by`)."""


class Turns(Generic[T]):
    """Not safe for threads by itself. The work of one asker is served in the order in which it came."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, T]] = []  # a heap of (begin, number, item)
        self._ends: dict[str, float] = {}  # asker → when the last work that was added for it ends
        self._now = 0.0
        self._numbers = count()

    def add(self, item: T, asker: str, cost: float) -> None:
        """cost: in any unit that is the same for all."""
        begin = max(self._now, self._ends.get(asker, 0.0))
        self._ends[asker] = begin + cost
        heapq.heappush(self._waiting, (begin, next(self._numbers), item))

    @property
    def next(self) -> T:
        """What `take` gives."""
        return self._waiting[0][2]

    def take(self) -> T:
        """Raises: IndexError if nothing waits."""
        self._now, _, item = heapq.heappop(self._waiting)
        still = self._now if self._waiting else float("inf")  # where nothing waits, all are equal again
        self._ends = {asker: end for asker, end in self._ends.items() if end > still}
        return item

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        """In no order."""
        return (item for _, _, item in self._waiting)
