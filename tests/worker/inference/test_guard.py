"""An attempt has a deadline, a full device is said in words, and a broken device ends the process once."""

from __future__ import annotations

import threading

import pytest
import torch

from core.errors import Cancelled, DeadlineExceeded, ModelUnavailable
from worker.inference.guard import Guard
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken

ILLEGAL = "CUDA error: an illegal memory access was encountered"


@pytest.fixture
def left() -> list[str]:
    return []


@pytest.fixture
def guard(left: list[str]) -> Guard:
    return Guard(3600.0, left.append)


def wait_for_ever(token: CancelToken) -> None:
    stopped = threading.Event()
    with token.on_cancel(stopped.set):
        assert stopped.wait(20)


def test_an_attempt_past_its_deadline_is_stopped_and_says_so(left: list[str]) -> None:
    token = CancelToken()
    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.05 s") as caught:
        Guard(0.05, left.append).run(token, lambda: wait_for_ever(token))
    assert (caught.value.status, caught.value.details["limit"]) == (504, 0.05)
    assert left == []


def test_a_user_who_cancels_is_not_told_of_a_deadline(guard: Guard) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        guard.run(token, lambda: wait_for_ever(token))


def test_an_answer_in_time_is_not_cancelled_later(guard: Guard) -> None:
    token = CancelToken()
    assert guard.run(token, lambda: "answer") == "answer"
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # a cancelled one ends at once, this one would run for an hour
            thread.join(20)
            assert not thread.is_alive()
    token.check()


def test_a_full_device_is_an_error_that_a_user_may_retry(guard: Guard, left: list[str]) -> None:
    def answer() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(ModelUnavailable) as caught:
        guard.run(CancelToken(), answer)
    assert caught.value.retry_after
    assert left == []


def test_a_broken_device_interrupts_the_job_and_ends_the_process_once(guard: Guard, left: list[str]) -> None:
    def answer() -> None:
        raise torch.AcceleratorError(ILLEGAL + "\nSearch for it in the documentation of CUDA.")

    for _ in range(2):
        with pytest.raises(Interrupted):
            guard.run(CancelToken(), answer)
    assert left == [f"the device failed: {ILLEGAL}"]
