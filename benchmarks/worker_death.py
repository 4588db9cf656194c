"""How long the service needs after the inference worker is killed with kill -9.

A running copy of the product over HTTP, with `lite` and one inference worker. Two times are measured from the kill: to
the answer of a question that is asked at once, and to the answer of the question that the worker was working on. The
first needs a new worker process. The second needs the lease of the job to run out as well.
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
from core.state.lifecycle import LEASE_SECONDS
from tests.clips import rendered
from tests.e2e.stack import Stack, running

TRIALS = 3
LONG = {"views": "4x3", "frames": 16}  # a question that takes seconds, so that it is running when the worker dies


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        clip = rendered("h264", Path(folder)).read_bytes()
        with running(Path(folder) / "data") as stack, stack.http(timeout=300) as http:
            video = http.post("/v1/videos", files={"video": clip}).raise_for_status().json()["id"]
            _ask(http, video)
            next_answer = [_next_answer(stack, http, video) for _ in range(TRIALS)]
            interrupted = [_interrupted(stack, http, video, trial) for trial in range(TRIALS)]
    slowest, wait = max(next_answer), max(interrupted)
    return report(
        "worker_death",
        [
            Row("kill -9 to the next answer, median", statistics.median(next_answer), "s"),
            Row("kill -9 to the next answer, slowest", slowest, "s", "at most 30", slowest <= 30),
            Row("lease of a job", LEASE_SECONDS, "s"),
            Row("kill -9 to the interrupted answer, median", statistics.median(interrupted), "s"),
            Row("kill -9 to the interrupted answer, slowest", wait, "s", "at most 60", wait <= 60),
        ],
    )


def _ask(http: httpx2.Client, video: str) -> None:
    http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).raise_for_status()


def _kill(stack: Stack) -> float:
    (worker,) = stack.children("--queue inference")
    os.kill(worker, signal.SIGKILL)
    return time.perf_counter()


def _next_answer(stack: Stack, http: httpx2.Client, video: str) -> float:
    """The first answer to a client that repeats its question until it gets one."""
    killed = _kill(stack)
    while http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).status_code != 200:
        time.sleep(0.1)
    return time.perf_counter() - killed


def _interrupted(stack: Stack, http: httpx2.Client, video: str, trial: int) -> float:
    """`trial`: makes the labels new, and the frames as well, so that no cache holds the answer."""
    question = {"labels": ["a cat", f"thing {trial}"], **LONG, "frames": 16 - trial}
    accepted = http.post(f"/v1/videos/{video}/classify", json=question, headers={"Prefer": "respond-async"})
    job = f"/v1/jobs/{accepted.raise_for_status().json()['id']}"
    while http.get(job).json()["state"] == "queued":
        time.sleep(0.02)
    killed = _kill(stack)
    while (state := http.get(job).json()["state"]) != "succeeded":
        assert state in ("queued", "running"), state
        time.sleep(0.1)
    return time.perf_counter() - killed


if __name__ == "__main__":
    sys.exit(not main())
