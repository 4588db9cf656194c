"""Batching across requests: concurrent requests share one forward pass of a tower.

Callers block in `encode`. One thread takes the waiting requests, waits at most `max_wait` for more, runs one forward
pass and hands each caller its rows. A request larger than `max_items` is cut into slices of which only two wait at the
same time, so it cannot starve the others. Towers that mix time need whole clips: a slice holds whole clips, and only
clips of the same length share a forward pass.

No caller waits for ever. Whatever goes wrong in the thread fails the requests that it had taken. If the thread ends
all the same, the waiting requests fail and the next request starts a new thread.
"""

from __future__ import annotations

import logging
import queue
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

log = logging.getLogger(__name__)

_WAITING_SLICES = 2  # of one request: one in the forward pass, one behind it


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


@dataclass(frozen=True, slots=True)
class Tower(Generic[In, Out]):
    """What a batcher needs to know of a tower."""

    forward: Callable[[In, int], Out]
    """Items [N, …], and the number of items in one clip → rows [N, …]."""
    join: Callable[[list[In]], In]
    merge: Callable[[list[Out]], Out]


class Batcher(Generic[In, Out]):
    def __init__(
        self,
        tower: Tower[In, Out],
        *,
        max_items: int,
        max_wait: float,
        stuck_after: float = 600.0,
        observe: Callable[[int], object] = lambda _: None,
        waited: Callable[[float], object] = lambda _: None,
    ) -> None:
        """max_wait: seconds that a request waits for others to share its forward pass; stuck_after: seconds after which
        a forward pass counts as one that never ends; observe: gets the number of items of each forward pass; waited:
        gets the seconds that each request, or slice of one, has waited for its forward pass."""
        self._tower = tower
        self._max_items = max_items
        self._max_wait = max_wait
        self._stuck_after = stuck_after
        self._observe = observe
        self._waited = waited
        self._entries: queue.SimpleQueue[_Entry[In, Out] | None] = queue.SimpleQueue()
        self._taken: list[_Entry[In, Out]] = []  # by the thread, not answered yet
        self._began: float | None = None  # when the current forward pass began
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

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
                if len(waiting) == _WAITING_SLICES:
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
        with self._lock:
            self._closed = True
            thread = self._thread
            self._entries.put(None)
        if thread:
            thread.join(timeout)

    def _slices(self, items: In, clip: int) -> Iterator[In]:
        size = pass_size(self._max_items, clip)
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def _submit(self, items: In, clip: int) -> _Entry[In, Out]:
        """Raises: DeviceFailed if the thread hangs in a forward pass."""
        entry = _Entry[In, Out](items, clip)
        self._raise_if_stuck()
        with self._lock:
            closed = self._closed
            if not closed:
                self._entries.put(entry)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
                    self._thread.start()
        if closed:  # the model was unloaded after this request had taken it: answer the request all the same
            self._answer([entry])
        return entry

    def _raise_if_stuck(self) -> None:
        began = self._began
        if began is not None and time.monotonic() - began > self._stuck_after:
            raise DeviceFailed(f"a forward pass has not ended for {self._stuck_after:g} s")

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException:
            log.exception("the batcher's thread ended; the next request starts a new one")
        finally:
            self._fail_unanswered()

    def _serve(self) -> None:
        carried: _Entry[In, Out] | None = None
        while True:
            first = carried or self._entries.get()
            if first is None:
                return
            self._taken = [first]
            batch, carried, closing = self._gather(first)
            self._answer(batch)
            if closing:
                return

    def _gather(self, first: _Entry[In, Out]) -> tuple[list[_Entry[In, Out]], _Entry[In, Out] | None, bool]:
        """The entries that share a forward pass with `first`, the entry that did not fit, and whether to stop after
        it."""
        batch, size = [first], len(first.items)
        deadline = time.monotonic() + self._max_wait
        while size < self._max_items:
            try:
                entry = self._entries.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                return batch, None, True
            self._taken.append(entry)
            if entry.clip != first.clip or size + len(entry.items) > self._max_items:
                return batch, entry, False
            batch.append(entry)
            size += len(entry.items)
        return batch, None, False

    def _answer(self, batch: list[_Entry[In, Out]]) -> None:
        batch = [entry for entry in batch if entry.done.set_running_or_notify_cancel()]
        if not batch:
            return
        self._began = time.monotonic()
        try:
            answers = self._forward(batch)
        except BaseException as error:
            failure = error if isinstance(error, Exception) else RuntimeError(f"a forward pass ended with {error!r}")
            for entry in batch:
                entry.done.set_exception(failure)
        else:
            for entry, rows in zip(batch, answers, strict=True):
                entry.done.set_result(rows)
        finally:
            self._began = None

    def _forward(self, batch: list[_Entry[In, Out]]) -> list[Out]:
        """The rows of each entry."""
        items = self._tower.join([entry.items for entry in batch])
        self._observe(len(items))
        for entry in batch:
            self._waited(time.monotonic() - entry.came)
        rows = self._tower.forward(items, batch[0].clip)
        if len(rows) != len(items):
            raise ValueError(f"the tower made {len(rows)} rows of {len(items)} items")
        ends = list(accumulate(len(entry.items) for entry in batch))
        return [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _fail_unanswered(self) -> None:
        """Once the thread has ended: nobody waits for it any more, and the next request starts a new one."""
        with self._lock:
            self._thread = None
            unanswered: list[_Entry[In, Out] | None] = [*self._taken]
            self._taken = []
            while not self._entries.empty():
                unanswered.append(self._entries.get())
        for entry in unanswered:
            if entry and not entry.done.done():
                with suppress(InvalidStateError):  # its caller left at this moment
                    entry.done.set_exception(RuntimeError("the batcher's thread ended"))
