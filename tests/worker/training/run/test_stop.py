"""A stop is asked for by a signal, seen where stopping is safe, and ends what the run may be waiting for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from worker.training.run.stop import Stop, Stopped


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_sigterm_asks_for_a_stop_and_sigint_does_not() -> None:
    stop, called = Stop(), threading.Event()
    stop.install()
    stop.on_request(called.set)
    stop.check()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop.wait(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(30)
    assert called.wait(30)
    with pytest.raises(Stopped):
        stop.check()
