"""A cache that is away, or never answers, costs a bounded number of attempts and no request its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from core.questions import Label
from tests.worker.conftest import Counting
from worker.inference.caches.classifiers import ClassifierCache
from worker.inference.caches.features import VectorKey, VideoCache
from worker.inference.caches.remote import AWAY_SECONDS, Breaker, RemoteCache
from worker.jobs.connection import connect


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Silent:
    """A listener that accepts every connection and never answers."""

    def __init__(self, listener: socket.socket) -> None:
        self.connections: list[socket.socket] = []
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def _accept(self) -> None:
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silent() -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Silent(listener)
        yield silent
        listener.shutdown(socket.SHUT_RDWR)
    for connection in silent.connections:
        connection.close()


def test_a_cache_that_never_answers_is_tried_twice_and_then_left_alone(
    silent: Silent, clock: Clock, counting: Counting
) -> None:
    remote = RemoteCache(connect(silent.url, decode=False, patient=False, timeout=0.05), 60, Breaker(clock))
    rows, videos = ClassifierCache(remote), VideoCache(remote, lambda *_: True)
    for index in range(20):
        matrix, _ = rows.classifier(counting.recognizer, [Label(name=f"label {index}")], ("{}",), False)
        assert matrix.matrix.shape == (1, counting.recognizer.dim)
        assert videos.get(VectorKey(f"video {index}", "k")) is None
    assert len(silent.connections) == 2
    for _ in range(3):  # and now and then one command finds out whether it is back
        clock.now += AWAY_SECONDS
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: remote.get([key]), "abcdefgh"))
    assert len(silent.connections) == 5


def test_a_cache_that_is_back_is_used_again(redis_url: str, records: redis.Redis, clock: Clock) -> None:
    remote = RemoteCache(connect(redis_url, decode=False, patient=False, timeout=0.1), 60, Breaker(clock))
    remote.put({"k": b"value"})
    records.client_pause(5_000, all=False)  # writes are not answered
    for _ in range(3):
        remote.put({"other": b"value"})
    records.client_unpause()
    assert remote.get(["k"]) == {}  # it is still left alone
    clock.now += AWAY_SECONDS
    assert remote.get(["k", "absent"]) == {"k": b"value"}
    assert remote.get(["k"]) == {"k": b"value"}
    assert 0 < int(records.ttl("k")) <= 60


def test_one_failure_closes_nothing(clock: Clock) -> None:
    breaker = Breaker(clock)
    for _ in range(5):
        assert not breaker.failed()
        assert breaker.admits()
        breaker.succeeded()
    assert not breaker.failed()
    assert breaker.failed()
    assert not breaker.admits()
