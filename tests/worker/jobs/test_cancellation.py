from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from core.errors import Cancelled
from core.state import keys
from worker.jobs.cancellation import Cancellations, CancelToken
from worker.jobs.connection import connect


def test_a_trip_stops_what_is_under_way() -> None:
    token, stopped = CancelToken(), threading.Event()
    threading.Timer(0.05, token.trip).start()
    with pytest.raises(Cancelled), token.stopping(stopped.set):
        stopped.wait(2)
    assert stopped.is_set()


def test_a_tripped_token_lets_nothing_begin() -> None:
    token = CancelToken()
    token.trip()
    began = []
    with pytest.raises(Cancelled), token.stopping(lambda: None):
        began.append(True)
    assert began == []


def test_after_the_block_its_stop_is_forgotten() -> None:
    token, calls = CancelToken(), []
    with token.stopping(lambda: calls.append(1)):
        pass
    token.trip()
    assert calls == []


def test_a_message_trips_the_token_of_its_job_and_no_other(redis_url: str) -> None:
    running, stopped = Cancellations(), threading.Event()
    client = connect(redis_url, decode=True)
    listener = threading.Thread(target=running.listen, args=(connect(redis_url, decode=True), stopped))
    listener.start()
    try:
        with running.token("job_a") as mine, running.token("job_b") as other:
            assert sorted(running.running) == ["job_a", "job_b"]
            _until(lambda: int(client.publish(keys.CANCEL_CHANNEL, "job_a")) > 0)
            _until(lambda: _is_tripped(mine))
            assert not _is_tripped(other)
    finally:
        stopped.set()
        listener.join(5)
    assert running.running == []


def _is_tripped(token: CancelToken) -> bool:
    try:
        token.check()
    except Cancelled:
        return True
    return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
