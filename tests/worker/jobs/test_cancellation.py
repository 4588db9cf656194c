from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from core.errors import Cancelled
from core.state import keys
from core.state.lifecycle import Attempt
from worker.jobs.cancellation import CancelToken, RunningJobs
from worker.jobs.connection import connect


def test_cancel_stops_what_is_running() -> None:
    token, stopped = CancelToken(), threading.Event()
    threading.Timer(0.05, token.cancel).start()
    with pytest.raises(Cancelled), token.on_cancel(stopped.set):
        stopped.wait(2)
    assert stopped.is_set()


def test_a_cancelled_token_lets_nothing_begin() -> None:
    token = CancelToken()
    token.cancel()
    began = []
    with pytest.raises(Cancelled), token.on_cancel(lambda: None):
        began.append(True)
    assert began == []


def test_after_the_block_its_stop_function_is_not_called() -> None:
    token, calls = CancelToken(), []
    with token.on_cancel(lambda: calls.append(1)):
        pass
    token.cancel()
    assert calls == []


def test_a_message_cancels_its_job_and_no_other(redis_url: str) -> None:
    running, stopped = RunningJobs(), threading.Event()
    client = connect(redis_url, decode=True)
    listener = threading.Thread(target=running.listen, args=(connect(redis_url, decode=True), stopped))
    listener.start()
    try:
        with running.token(Attempt("job_a", 1, "x")) as mine, running.token(Attempt("job_b", 1, "y")) as other:
            _until(lambda: int(client.publish(keys.CANCEL_CHANNEL, "job_a")) > 0)
            _until(lambda: _is_cancelled(mine))
            assert not _is_cancelled(other)
    finally:
        stopped.set()
        listener.join(5)
    assert running.attempts == []


def _is_cancelled(token: CancelToken) -> bool:
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
