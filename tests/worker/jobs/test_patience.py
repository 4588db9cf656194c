from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from core.errors import Cancelled, StorageUnavailable
from core.state.lifecycle import Attempt
from worker.jobs import patience
from worker.jobs.cancellation import CancelToken
from worker.jobs.patience import patiently
from worker.jobs.reporter import Reporter


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.attempt = Attempt("job_1", 1, "holder")
        self.lines: list[str] = []

    def event(self, _: str, data: dict[str, Any]) -> None:
        self.lines.append(data["message"])


def full(times: int) -> Any:
    """Work that fails so often, and then says how often it was called."""
    calls = []

    def work() -> int:
        calls.append(time.monotonic())
        if len(calls) <= times:
            raise StorageUnavailable("No space left on device.", hint="Try again soon.", key="k")
        return len(calls)

    return work


def call(work: Any, told: Told, token: CancelToken | None = None) -> Any:
    return patiently(work, token or CancelToken(), cast(Reporter, told), hint="Make room.")


def test_what_a_full_store_refuses_is_tried_again_and_the_job_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.001)
    told = Told()
    assert call(full(3), told) == 4
    assert len(told.lines) == 3
    assert "No space left" in told.lines[0]


def test_a_store_that_stays_full_is_the_error_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "PATIENCE", 0.1)
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match="No space left") as caught:
        call(full(10**9), Told())
    assert time.monotonic() - began < 10
    assert (caught.value.hint, caught.value.details) == ("Make room.", {"key": "k"})


def test_a_cancel_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 60.0)
    token = CancelToken()
    timer = threading.Timer(0.05, token.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        call(full(10**9), Told(), token)
    assert time.monotonic() - began < 10


def test_other_errors_are_not_tried_again() -> None:
    told = Told()

    def wrong() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        call(wrong, told)
    assert told.lines == []
