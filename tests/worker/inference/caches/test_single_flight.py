"""One computation serves all threads that need a value; a cancelled caller disturbs nobody; errors are shared."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from core.errors import Cancelled, StorageUnavailable, UndecodableVideo
from worker.inference.caches.single_flight import SingleFlight
from worker.jobs.cancellation import CancelToken

WAIT = 20.0


class Slow:
    """A computation that waits at a gate and records its calls and its token."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        self.began = threading.Event()
        self.stopped = threading.Event()
        self._error = error

    def _stop(self) -> None:
        self.stopped.set()
        self.gate.set()

    def __call__(self, keys: list[str], token: CancelToken) -> dict[str, str]:
        self.calls.append(keys)
        self.began.set()
        with token.on_cancel(self._stop):
            assert self.gate.wait(WAIT)
        if self._error:
            raise self._error
        return {key: key.upper() for key in keys}


def waiting(flights: SingleFlight[str, str], count: int) -> None:
    """Wait until `count` callers are waiting."""

    def counted() -> bool:
        with flights._lock:
            return sum(flight.waiting for flight in set(flights._flights.values())) == count

    spin(counted)


def spin(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(int(WAIT * 100)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it never came true")


def ask(
    pool: ThreadPoolExecutor,
    flights: SingleFlight[str, str],
    compute: Slow,
    *keys: str,
    token: CancelToken | None = None,
) -> Future[dict[str, str]]:
    return pool.submit(flights.values, keys, token or CancelToken(), compute)


def test_of_many_callers_one_computes() -> None:
    flights, compute = SingleFlight[str, str](), Slow()
    with ThreadPoolExecutor(8) as pool:
        asked = [ask(pool, flights, compute, "k") for _ in range(8)]
        waiting(flights, 8)
        compute.gate.set()
        assert [future.result(WAIT) for future in asked] == [{"k": "K"}] * 8
    assert compute.calls == [["k"]]
    assert len(flights) == 0


def test_overlapping_requests_compute_each_key_once() -> None:
    flights, compute = SingleFlight[str, str](), Slow()
    with ThreadPoolExecutor(2) as pool:
        first = ask(pool, flights, compute, "a", "b", "a")
        waiting(flights, 1)
        second = ask(pool, flights, compute, "c", "b")
        waiting(flights, 3)
        compute.gate.set()
        assert first.result(WAIT) == {"a": "A", "b": "B"}
        assert second.result(WAIT) == {"c": "C", "b": "B"}
    assert sorted(compute.calls) == [["a", "b"], ["c"]]


def test_a_cancelled_leader_leaves_and_its_followers_get_the_value() -> None:
    flights, compute, leader = SingleFlight[str, str](), Slow(), CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = ask(pool, flights, compute, "k", token=leader)
        waiting(flights, 1)
        second = ask(pool, flights, compute, "k")
        waiting(flights, 2)
        leader.cancel()
        with pytest.raises(Cancelled):
            first.result(WAIT)
        assert not compute.stopped.is_set()
        compute.gate.set()
        assert second.result(WAIT) == {"k": "K"}
    assert compute.calls == [["k"]]


def test_a_cancelled_follower_returns_at_once() -> None:
    flights, compute, follower = SingleFlight[str, str](), Slow(), CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = ask(pool, flights, compute, "k")
        waiting(flights, 1)
        second = ask(pool, flights, compute, "k", token=follower)
        waiting(flights, 2)
        follower.cancel()
        with pytest.raises(Cancelled):
            second.result(WAIT)
        assert not first.done()
        compute.gate.set()
        assert first.result(WAIT) == {"k": "K"}


def test_what_nobody_waits_for_is_cancelled_and_begun_anew() -> None:
    flights, compute = SingleFlight[str, str](), Slow()
    tokens = [CancelToken(), CancelToken()]
    with ThreadPoolExecutor(2) as pool:
        asked = [ask(pool, flights, compute, "k", token=token) for token in tokens]
        waiting(flights, 2)
        for token in tokens:
            token.cancel()
        for future in asked:
            with pytest.raises(Cancelled):
                future.result(WAIT)
    assert compute.stopped.wait(WAIT)
    assert len(flights) == 0
    assert flights.value("k", CancelToken(), lambda _: "new") == "new"


def test_what_may_not_be_abandoned_goes_on_without_callers() -> None:
    flights, compute, token = SingleFlight[str, str](abandon=False), Slow(), CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = ask(pool, flights, compute, "k", token=token)
        waiting(flights, 1)
        token.cancel()
        with pytest.raises(Cancelled):
            first.result(WAIT)
        second = ask(pool, flights, compute, "k")
        waiting(flights, 1)
        compute.gate.set()
        assert second.result(WAIT) == {"k": "K"}
    assert compute.calls == [["k"]]


def test_an_error_is_shared_and_remembered_for_a_while() -> None:
    flights = SingleFlight[str, str](remember=(UndecodableVideo,), seconds=3600)
    compute = Slow(UndecodableVideo("broken", reason="corrupt", stream=None))
    with ThreadPoolExecutor(4) as pool:
        asked = [ask(pool, flights, compute, "k") for _ in range(4)]
        waiting(flights, 4)
        compute.gate.set()
        for future in asked:
            with pytest.raises(UndecodableVideo, match="broken"):
                future.result(WAIT)
    with pytest.raises(UndecodableVideo) as caught:
        flights.values(["k"], CancelToken(), compute)
    assert caught.value.details["reason"] == "corrupt"
    assert compute.calls == [["k"]]


def test_a_remembered_error_is_forgotten_and_others_are_not_remembered() -> None:
    brief = SingleFlight[str, str](remember=(UndecodableVideo,), seconds=0.0)
    lasting = SingleFlight[str, str](remember=(UndecodableVideo,), seconds=3600)
    for flights, error in ((brief, UndecodableVideo("broken")), (lasting, StorageUnavailable("away"))):
        compute = Slow(error)
        compute.gate.set()
        for _ in range(2):
            with pytest.raises(type(error)):
                flights.values(["k"], CancelToken(), compute)
        assert len(compute.calls) == 2


def test_an_error_of_anothers_key_does_not_fail_a_request() -> None:
    flights, failing, working = SingleFlight[str, str](), Slow(ValueError("bad")), Slow()
    working.gate.set()
    with ThreadPoolExecutor(2) as pool:
        first = ask(pool, flights, failing, "bad", "good")
        waiting(flights, 1)
        second = ask(pool, flights, working, "good")
        waiting(flights, 2)
        failing.gate.set()
        with pytest.raises(ValueError, match="bad"):
            first.result(WAIT)
        assert second.result(WAIT) == {"good": "GOOD"}
    assert working.calls == [["good"]]
