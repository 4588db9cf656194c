"""How long the service needs after the inference worker is killed with kill -9.

A running copy of the product over HTTP, with `lite` and one inference worker. From the kill of the worker process it
takes the time to the answer of a question that is asked at once, and to the answer of the question that the worker was
working on, less the time that this question takes without a kill. The first is also taken from the kill of the worker's
parent, after which everything has to be imported again.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.report import Row, report
from launcher.supervision.children import HEALTHY_AFTER
from tests.clips import rendered
from tests.e2e.stack import Stack, running

TRIALS = 3
LONG = {"views": "4x1", "frames": 16}  # a question that takes seconds, so that it is running when the worker dies


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        clip = rendered("h264", Path(folder)).read_bytes()
        with running(Path(folder) / "data") as stack, stack.http(timeout=300) as http:
            video = http.post("/v1/videos", files={"video": clip}).raise_for_status().json()["id"]
            _ask(http, video)
            next_answer = [_next_answer(stack, http, video) for _ in range(TRIALS)]
            alone = [_long_question(stack, http, video, trial, kill=False) for trial in range(TRIALS)]
            interrupted = [_long_question(stack, http, video, TRIALS + trial, kill=True) for trial in range(TRIALS)]
            parent = [_next_answer(stack, http, video, parent=True) for _ in range(TRIALS)]
    extra = [seconds - statistics.median(alone) for seconds in interrupted]
    slowest, wait, again = max(next_answer), max(extra), max(parent)
    return report(
        "worker_death",
        [
            Row("kill -9 to the next answer, median", statistics.median(next_answer), "s"),
            Row("kill -9 to the next answer, slowest", slowest, "s", "at most 10", slowest <= 10),
            Row("the long question without a kill, median", statistics.median(alone), "s"),
            Row("how much longer it takes with a kill, median", statistics.median(extra), "s"),
            Row("how much longer it takes with a kill, slowest", wait, "s", "at most 10", wait <= 10),
            Row("kill -9 of the parent to the next answer, median", statistics.median(parent), "s"),
            Row("kill -9 of the parent to the next answer, slowest", again, "s", "at most 30", again <= 30),
        ],
    )


def _ask(http: httpx2.Client, video: str) -> None:
    http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).raise_for_status()


def _kill(stack: Stack, *, parent: bool = False) -> float:
    os.kill(stack.children("--queue inference")[0] if parent else stack.worker("inference"), signal.SIGKILL)
    return time.perf_counter()


def _next_answer(stack: Stack, http: httpx2.Client, video: str, *, parent: bool = False) -> float:
    """The first answer to a client that repeats its question until it gets one."""
    time.sleep(HEALTHY_AFTER + 1)  # a worker that dies young waits before it is started again
    killed = _kill(stack, parent=parent)
    time.sleep(0.1)  # a dying process may still answer
    while http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).status_code != 200:
        time.sleep(0.1)
    return time.perf_counter() - killed


def _long_question(stack: Stack, http: httpx2.Client, video: str, trial: int, *, kill: bool) -> float:
    """`trial`: makes the labels new, and the frames as well, so that no cache holds the answer."""
    question = {"labels": ["a cat", f"thing {trial}"], **LONG, "frames": 16 - trial}
    accepted = http.post(f"/v1/videos/{video}/classify", json=question, headers={"Prefer": "respond-async"})
    job = f"/v1/jobs/{accepted.raise_for_status().json()['id']}"
    while http.get(job).json()["state"] == "queued":
        time.sleep(0.02)
    began = _kill(stack) if kill else time.perf_counter()
    while (state := http.get(job).json()["state"]) != "succeeded":
        assert state in ("queued", "running"), state
        time.sleep(0.1)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(not main())
