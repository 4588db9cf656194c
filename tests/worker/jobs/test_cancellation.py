from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest
import redis

from core.errors import Cancelled
from core.state import keys
from core.state.lifecycle import Attempt
from worker.jobs.cancellation import CancelToken, RunningJobs, StopReason
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


def test_the_first_reason_counts() -> None:
    token = CancelToken()
    token.cancel(StopReason.WORKER_STOPS)
    token.cancel()
    assert token.reason is StopReason.WORKER_STOPS


@pytest.mark.parametrize(
    ("reason", "continues"),
    [(StopReason.CANCELLED, False), (StopReason.WORKER_STOPS, True), (StopReason.SUPERSEDED, True), (None, False)],
)
def test_only_a_user_ends_a_job_for_good(reason: StopReason | None, continues: bool) -> None:
    token = CancelToken()
    if reason:
        token.cancel(reason)
    assert token.job_continues is continues


def test_an_attempt_that_starts_while_its_worker_stops_goes_back() -> None:
    running = RunningJobs()
    with running.token(Attempt("job_a", 1, "x")) as early:
        running.release_all()
        with running.token(Attempt("job_b", 1, "y")) as late:
            assert early.reason is late.reason is StopReason.WORKER_STOPS


def test_a_wait_ends_with_the_cancel_even_if_the_future_never_does() -> None:
    token = CancelToken()
    threading.Timer(0.05, token.cancel).start()
    with pytest.raises(Cancelled):
        token.wait_for(Future[int]())
    with pytest.raises(Cancelled):
        token.wait_for(Future[int]())


def test_a_lost_subscription_is_opened_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running, stopped = RunningJobs(), threading.Event()
    client, heard = connect(redis_url, decode=True), connect(redis_url, decode=True)
    pubsub, tries = heard.pubsub, []

    def broken_once(**options: bool) -> object:
        tries.append(options)
        if len(tries) == 1:
            raise redis.ConnectionError("lost")
        return pubsub(**options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(heard, "pubsub", broken_once)
    monkeypatch.setattr(stopped, "wait", lambda _: None)
    listener = threading.Thread(target=running.listen, args=(heard, stopped))
    listener.start()
    try:
        with running.token(Attempt("job_a", 1, "x")) as token:
            _until(lambda: int(client.publish(keys.CANCEL_CHANNEL, "job_a")) > 0)
            _until(lambda: token.cancelled)
    finally:
        stopped.set()
        listener.join(5)
    assert len(tries) == 2


def test_only_a_patient_connection_tries_again() -> None:
    for patient, retries in ((True, 15), (False, 0)):
        client = connect("redis://127.0.0.1:9/0", decode=True, patient=patient)
        retry = client.get_retry()
        assert retry is not None
        assert retry.get_retries() == retries
    with pytest.raises(redis.ConnectionError):
        connect("redis://127.0.0.1:9/0", decode=False, patient=False, timeout=1.0).ping()


def test_everything_that_waits_is_stopped() -> None:
    """A timeline decodes its next piece in a thread beside the one that encodes."""
    token, stopped = CancelToken(), list[str]()
    first, over, second = (partial(stopped.append, name) for name in ("first", "over", "second"))

    def wait() -> None:
        with token.on_cancel(first):
            with token.on_cancel(over):
                pass
            with token.on_cancel(second):
                token.cancel()

    with pytest.raises(Cancelled):
        wait()
    assert stopped == ["first", "second"]
