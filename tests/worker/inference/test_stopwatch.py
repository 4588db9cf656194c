from __future__ import annotations

import time
from contextlib import suppress

import pytest

from worker.inference.stopwatch import Stopwatch


def test_times_are_milliseconds_of_each_stage_and_of_all_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = Stopwatch(0.5)
    for stage, seconds in (("decode", 0.2), ("text", 0.01), ("decode", 0.05)):
        with watch.stage(stage):
            now[0] += seconds
    with suppress(KeyError), watch.stage("score"):
        now[0] += 0.04
        raise KeyError
    timings = watch.timings()
    assert (timings.queue, timings.decode, timings.text, timings.score) == (500.0, 250.0, 10.0, 40.0)
    assert timings.total == pytest.approx(800.0)
    assert timings.encode == 0.0


def test_a_clock_that_runs_backwards_gives_no_negative_wait() -> None:
    assert Stopwatch(-3.0).timings().queue == 0.0
