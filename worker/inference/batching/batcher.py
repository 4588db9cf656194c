"""Batching across requests: concurrent requests share the forward passes of a tower.

Callers block in `encode`. The threads of the lanes take what waits: a lane that is free waits at most `max_wait` for
more than one request, and not at all while another lane computes, because more will have come when that one ends. A
request is cut into slices of one forward pass, of which one per lane and one more wait at the same time, so a large
request cannot starve the others. Towers that mix time need whole clips: a slice holds whole clips, and only clips of
the same length share a forward pass.

No caller waits for ever. Whatever goes wrong in a lane fails the requests that it had taken. If the last lane ends all
the same, the waiting requests fail and the next request starts new lanes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

from core.errors import Cancelled
from models.recognition.video_encoder import pass_size
from worker.inference.batching.device import DeviceFailed
from worker.jobs.cancellation import CancelToken
from worker.jobs.turns import ASKER, Turns

log = logging.getLogger(__name__)


class Rows(Protocol):
    """A list, an array or a tensor: what can be cut along its first dimension."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


In = TypeVar("In", bound=Rows)
Out = TypeVar("Out", bound=Rows)


@dataclass(slots=True)
class _Entry(Generic[In, Out]):
    items: In
    clip: int  # number of items in one clip
    done: Future[Out] = field(default_factory=Future)
    came: float = field(default_factory=time.monotonic)

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):  # it is answered, or its caller has left
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Tower(Generic[In, Out]):
    """What a batcher needs to know of a tower."""

    forward: Callable[[In, int], Out]
    """Items [N, …], and the number of items in one clip → rows [N, …]."""
    join: Callable[[list[In]], In]
    merge: Callable[[list[Out]], Out]


@dataclass(eq=False, slots=True)
class _Lane(Generic[In, Out]):
    """One thread, which runs one forward pass at a time."""

    taken: list[_Entry[In, Out]] = field(default_factory=list)  # not answered yet
    began: float | None = None  # when its current forward pass began


class Batcher(Generic[In, Out]):
    def __init__(
        self,
        tower: Tower[In, Out],
        *,
        max_items: int,
        max_wait: float,
        lanes: int = 1,
        share: bool = False,
        start_lane: Callable[[], object] = lambda: None,
        stuck_after: float = 600.0,
        observe: Callable[[int], object] = lambda _: None,
        waited: Callable[[float], object] = lambda _: None,
    ) -> None:
        """max_wait: seconds that a request waits for others to share its forward pass; lanes: forward passes at the
        same time; share: whether idle lanes share what waits, even if one forward pass has room for all of it: for
        CPUs, where small passes cost as much per item; start_lane: is called first in the thread of each; stuck_after:
        seconds after which a forward pass counts as one that never ends; observe: gets the number of items of each
        forward pass; waited: gets the seconds that each request, or slice of one, has waited for its forward pass."""
        self._tower = tower
        self._max_items = max_items
        self._max_wait = max_wait
        self._most_lanes = lanes
        self._share = share
        self._start_lane = start_lane
        self._stuck_after = stuck_after
        self._observe = observe
        self._waited = waited
        self._waiting: Turns[_Entry[In, Out]] = Turns()
        self._changed = threading.Condition()  # guards what is above and below; a lane waits for entries with it
        self._lanes: dict[_Lane[In, Out], threading.Thread] = {}
        self._closed = False

    def encode(self, items: In, token: CancelToken, clip: int = 1) -> Out:
        """items: [N, …], clip after clip → rows [N, …]. `clip`: number of items in one clip if the tower mixes time,
        else 1, so that requests of any length go together. Raises: Cancelled, DeviceFailed, or the exception of the
        forward pass."""
        rows: list[Out] = []
        waiting: deque[_Entry[In, Out]] = deque()
        try:
            for items_of_slice in self._slices(items, clip):
                token.check()
                waiting.append(self._submit(items_of_slice, clip))
                if len(waiting) > self._most_lanes:
                    rows.append(token.wait_for(waiting[0].done))
                    waiting.popleft()
            rows += [token.wait_for(entry.done) for entry in waiting]
        except Cancelled:
            self._raise_if_stuck()
            raise
        finally:
            for entry in waiting:
                entry.done.cancel()
        return self._tower.merge(rows)

    def close(self, timeout: float = 30.0) -> None:
        """Finish the waiting requests. A later request runs in its caller's thread. `timeout`: seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._lanes.values())
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _slices(self, items: In, clip: int) -> Iterator[In]:
        size = pass_size(self._max_items, clip)
        if self._share:  # a slice for each lane; those that share a forward pass all the same are joined again
            size = min(size, -(-len(items) // clip // self._most_lanes) * clip)
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def _submit(self, items: In, clip: int) -> _Entry[In, Out]:
        """Raises: DeviceFailed if a lane hangs in a forward pass."""
        entry = _Entry[In, Out](items, clip)
        self._raise_if_stuck()
        with self._changed:
            closed = self._closed
            if not closed:
                self._waiting.add(entry, ASKER.get(), len(items))
                self._start_lanes()
                self._changed.notify()
        if closed:  # the model was unloaded after this request had taken it: answer the request all the same
            self._answer(_Lane([entry]))
        return entry

    def _start_lanes(self) -> None:
        """The caller holds the lock."""
        while len(self._lanes) < self._most_lanes:
            lane = _Lane[In, Out]()
            thread = threading.Thread(target=self._run, args=(lane,), name="batcher", daemon=True)
            self._lanes[lane] = thread
            thread.start()

    def _raise_if_stuck(self) -> None:
        now = time.monotonic()
        if any(lane.began is not None and now - lane.began > self._stuck_after for lane in tuple(self._lanes)):
            raise DeviceFailed(f"a forward pass has not ended for {self._stuck_after:g} s")

    def _run(self, lane: _Lane[In, Out]) -> None:
        try:
            self._start_lane()
            while self._take(lane):
                self._answer(lane)
        except BaseException:
            log.exception("a lane of the batcher ended; the next request starts a new one")
        finally:
            self._end(lane)

    def _take(self, lane: _Lane[In, Out]) -> bool:
        """Give the lane the entries that share its next forward pass. Returns False once the batcher is closed and
        nothing waits."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return False
                self._changed.wait()
            self._wait_for_more(time.monotonic() + self._max_wait)
            lane.taken = self._next_batch()
            return True

    def _wait_for_more(self, deadline: float) -> None:
        while sum(len(entry.items) for entry in self._waiting) < self._max_items and not self._closed:
            left = deadline - time.monotonic()
            if left <= 0 or any(lane.taken for lane in self._lanes):
                return
            self._changed.wait(left)

    def _next_batch(self) -> list[_Entry[In, Out]]:
        """In their turns, as many as fit; none if another lane has taken them."""
        batch: list[_Entry[In, Out]] = []
        size, most = 0, self._fair_share()
        while self._waiting:
            entry = self._waiting.next
            if batch and (entry.clip != batch[0].clip or size + len(entry.items) > most):
                break
            batch.append(self._waiting.take())
            size += len(entry.items)
        return batch

    def _fair_share(self) -> int:
        """Most items of the next forward pass."""
        if not self._share:
            return self._max_items
        idle = sum(not lane.taken for lane in self._lanes)
        waiting = sum(len(entry.items) for entry in self._waiting)
        return min(self._max_items, -(-waiting // max(idle, 1)))

    def _answer(self, lane: _Lane[In, Out]) -> None:
        batch = [entry for entry in lane.taken if entry.done.set_running_or_notify_cancel()]
        lane.began = time.monotonic()
        try:
            answers = self._forward(batch) if batch else []
        except BaseException as error:
            failure = error if isinstance(error, Exception) else RuntimeError(f"a forward pass ended with {error!r}")
            for entry in batch:
                entry.done.set_exception(failure)
        else:
            for entry, rows in zip(batch, answers, strict=True):
                entry.done.set_result(rows)
        finally:
            lane.began = None
            lane.taken = []

    def _forward(self, batch: list[_Entry[In, Out]]) -> list[Out]:
        """The rows of each entry."""
        items = self._tower.join([entry.items for entry in batch]) if len(batch) > 1 else batch[0].items
        self._observe(len(items))
        for entry in batch:
            self._waited(time.monotonic() - entry.came)
        rows = self._tower.forward(items, batch[0].clip)
        if len(rows) != len(items):
            raise ValueError(f"the tower made {len(rows)} rows of {len(items)} items")
        ends = list(accumulate(len(entry.items) for entry in batch))
        return [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _end(self, lane: _Lane[In, Out]) -> None:
        """Once its thread has ended: nobody waits for it any more, nor for others if it was the last."""
        with self._changed:
            self._lanes.pop(lane, None)
            unanswered = list(lane.taken)
            if not self._lanes:
                unanswered += self._waiting
                self._waiting = Turns()
        for entry in unanswered:
            entry.fail(RuntimeError("the batcher's thread ended"))
