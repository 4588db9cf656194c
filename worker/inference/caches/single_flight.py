"""Single flight: of several threads that need the same value at the same time, one computation serves all.

The computation runs in a thread of its own, so no caller owns it. A caller that is cancelled leaves and disturbs
nobody; when the last one leaves, the computation is cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Generic, TypeVar

from core.errors import VireoError
from worker.jobs.cancellation import CancelToken

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Compute = Callable[[list[K], CancelToken], Mapping[K, V]]
"""Keys, and a token that is cancelled once nobody waits for them → the value of each key."""


class _Flight(Generic[K, V]):
    def __init__(self, keys: list[K]) -> None:
        self.keys = keys
        self.token = CancelToken()
        self.outcome: Future[Mapping[K, V]] = Future()
        self.waiting = 0


class SingleFlight(Generic[K, V]):
    def __init__(
        self, *, remember: tuple[type[VireoError], ...] = (), seconds: float = 5.0, abandon: bool = True
    ) -> None:
        """remember: the errors that a later caller gets without another attempt, for `seconds`; abandon: whether a
        computation that nobody waits for any more is cancelled. If not, it ends by itself, and a later caller joins
        it."""
        self._remember = remember
        self._seconds = seconds
        self._abandon = abandon
        self._lock = threading.Lock()
        self._flights: dict[K, _Flight[K, V]] = {}
        self._failures: dict[K, tuple[float, VireoError]] = {}

    def value(self, key: K, token: CancelToken, compute: Callable[[CancelToken], V]) -> V:
        """The value of one key. `compute`, and what is raised: as in `values`."""
        return self.values([key], token, lambda _, own: {key: compute(own)})[key]

    def values(self, keys: Sequence[K], token: CancelToken, compute: Compute[K, V]) -> dict[K, V]:
        """The values of all `keys`. Those that no thread computes already are computed by one call of `compute`.

        Raises: Cancelled if `token` is cancelled, or what the computation raised.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[K, V] = {}
        while missing := [key for key in wanted if key not in found]:
            joined = self._join(missing, compute)
            try:
                for flight in joined:
                    found |= self._result(flight, token, wanted)
            finally:
                for flight in joined:
                    self._leave(flight)
        return {key: found[key] for key in keys}

    def __len__(self) -> int:
        """Keys in flight."""
        return len(self._flights)

    def _join(self, keys: list[K], compute: Compute[K, V]) -> list[_Flight[K, V]]:
        """The flights that compute `keys`. At most one of them is new. Raises: a remembered error."""
        with self._lock:
            self._raise_remembered(keys)
            own = _Flight[K, V]([key for key in keys if key not in self._flights])
            self._flights |= dict.fromkeys(own.keys, own)
            joined = list({id(flight): flight for flight in (self._flights[key] for key in keys)}.values())
            for flight in joined:
                flight.waiting += 1
        if own.keys:
            context = copy_context()  # log lines carry the id of the request that began it
            threading.Thread(
                target=context.run, args=(self._run, own, compute), name="single-flight", daemon=True
            ).start()
        return joined

    def _result(self, flight: _Flight[K, V], token: CancelToken, wanted: list[K]) -> Mapping[K, V]:
        try:
            return token.wait_for(flight.outcome)
        except Exception:
            if not token.cancelled and not set(flight.keys) <= set(wanted):
                return {}  # it may have failed because of a key that is not ours: compute ours alone
            raise

    def _leave(self, flight: _Flight[K, V]) -> None:
        with self._lock:
            flight.waiting -= 1
            abandoned = self._abandon and not flight.waiting and not flight.outcome.done()
            if abandoned:
                self._remove(flight)
        if abandoned:
            flight.token.cancel()

    def _run(self, flight: _Flight[K, V], compute: Compute[K, V]) -> None:
        try:
            values = compute(flight.keys, flight.token)
        except BaseException as error:
            with self._lock:
                self._remove(flight)
                if isinstance(error, self._remember):
                    failure = VireoError.from_dict(error.to_dict())  # a copy without traceback, which holds frames
                    self._failures |= dict.fromkeys(flight.keys, (time.monotonic(), failure))
            flight.outcome.set_exception(error)
        else:
            with self._lock:
                self._remove(flight)
            flight.outcome.set_result(values)

    def _remove(self, flight: _Flight[K, V]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _raise_remembered(self, keys: list[K]) -> None:
        fresh = time.monotonic() - self._seconds
        self._failures = {key: failure for key, failure in self._failures.items() if failure[0] > fresh}
        for key in keys:
            if key in self._failures:
                raise VireoError.from_dict(self._failures[key][1].to_dict())
