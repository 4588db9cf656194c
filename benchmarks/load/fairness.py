"""One project with a hundred clients, and another with one: how long the single client waits, and how long alone.

The clients make jobs as the gateway does, past it: the queue and the worker are what is shared. Each job embeds texts
that no cache has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.load.target import Target, percentile
from benchmarks.report import Row
from core.records import Job, new_job_id
from core.state import keys, lifecycle, steps
from core.state.queues import send_job

GREEDY: Final = 100
TEXTS: Final = 24
"""Of one job: enough that the worker is slower than the clients."""
STRETCH: Final = 2.0
"""p99 of waiting beside the greedy project, at most, in that of waiting alone."""


def measure(target: Target, seconds: float) -> list[Row]:
    alone = _single(target, seconds / 2)
    depths: list[int] = []
    with _greedy(target, "greedy", depths):
        beside = _single(target, seconds)
    with _greedy(target, "single", depths):
        same = _single(target, seconds)
    first, fair, unfair = (percentile(times, 0.99) for times in (alone, beside, same))
    full = percentile([float(depth) for depth in depths], 0.5)
    return [
        Row("unfinished jobs beside the single client, median", full, "", f"of {GREEDY}", full >= GREEDY / 2),
        Row("single client alone: p50", 1000 * percentile(alone, 0.5), "ms"),
        Row("single client alone: p99", 1000 * first, "ms"),
        Row(f"beside {GREEDY} clients of its own project: p99", 1000 * unfair, "ms"),
        Row(f"beside {GREEDY} clients of another project: p50", 1000 * percentile(beside, 0.5), "ms"),
        Row(f"beside {GREEDY} clients of another project: p99", 1000 * fair, "ms"),
        Row("in p99s alone", fair / first, "", f"at most {STRETCH:g}", fair <= STRETCH * first),
    ]


class _Client:
    """Asks one question after the other, for a project."""

    def __init__(self, target: Target, project: str) -> None:
        self._project = project
        self._redis = target.records()
        self._create = self._redis.register_script(steps.CREATE)

    def add(self, number: int) -> str:
        """The id of a new job."""
        request = {"texts": [f"{self._project}, thing {number}, {text}" for text in range(TEXTS)]}
        job = Job(id=new_job_id(), kind="embedding", project=self._project, request=request, created_at=time.time())
        script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 10 * GREEDY)
        assert self._create(keys=script_keys, args=args)[0] == "created"
        send_job(self._redis, job.id, keys.INFERENCE)
        return job.id

    def ask(self, number: int) -> float:
        """Seconds until the answer."""
        began = time.perf_counter()
        job = keys.job(self.add(number))
        while (state := self._redis.hget(job, "state")) in ("queued", "running"):
            time.sleep(0.002)
        assert state == "succeeded", self._redis.hgetall(job)
        return time.perf_counter() - began


def _single(target: Target, seconds: float) -> list[float]:
    client, ends = _Client(target, "single"), time.monotonic() + seconds
    times: list[float] = []
    while time.monotonic() < ends:
        times.append(client.ask(len(times)))
        time.sleep(0.02)
    return times


@contextmanager
def _greedy(target: Target, project: str, depths: list[int]) -> Iterator[None]:
    """As many unfinished jobs as a hundred clients have, without a hundred threads: an ended job is replaced. `depths`
    gets the number of unfinished jobs, again and again."""
    ended = threading.Event()
    client = _Client(target, project)

    def refill() -> None:
        number = 0
        with target.records() as records:
            while not ended.wait(0.005):
                depths.append(target.unfinished(records))
                for _ in range(GREEDY - depths[-1]):
                    number += 1
                    client.add(number)

    thread = threading.Thread(target=refill, daemon=True)
    thread.start()
    try:
        time.sleep(1.0)
        yield
    finally:
        ended.set()
        thread.join()
        _drain(target)


def _drain(target: Target) -> None:
    with target.records() as records:
        while target.unfinished(records):
            time.sleep(0.05)
