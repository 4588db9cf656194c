"""The copy that is loaded, and what the users of a swarm met there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import redis

from core.state import keys
from tests import tiny
from tests.clips import rendered
from tests.e2e.stack import Stack, running

QUEUE_LIMIT: Final = 32
"""Small, so that few users fill the queue."""
_SWARM: Final = Path(__file__).with_name("swarm.py")
SPARE_SECONDS: Final = 90.0
"""That a swarm may take to start and to end."""


@dataclass(frozen=True, slots=True)
class Met:
    """One answer: `seconds` since it was sent; `attempt`: 1 for the first time that the question was sent; `since`:
    when that was (unix seconds); `retry`: `Retry-After`."""

    began: float
    seconds: float
    status: int
    attempt: int
    since: float
    retry: str | None


@dataclass(frozen=True, slots=True)
class Target:
    stack: Stack
    folder: Path
    clip: Path
    videos: Sequence[str]

    def swarm(self, users: int, seconds: float, *options: str) -> list[Met]:
        """What `users` met in `seconds`."""
        out = self.folder / "met.jsonl"
        about = [part for video in self.videos for part in ("--video", video)]
        command = [sys.executable, "-P", str(_SWARM), "--url", self.stack.url, "--users", str(users)]
        command += [*about, "--seconds", str(seconds), "--out", str(out), *options]
        subprocess.run(command, check=True, timeout=seconds + SPARE_SECONDS, stderr=subprocess.DEVNULL)
        return [Met(**json.loads(line)) for line in out.read_text().splitlines()]

    def records(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.stack.data_dir / "run" / "redis.sock"), decode_responses=True)

    def unfinished(self, records: redis.Redis) -> int:
        """Jobs in the queue of questions."""
        with records.pipeline(transaction=True) as both:  # a job that starts between two commands would count twice
            both.zcard(keys.waiting(keys.INFERENCE))
            both.zcard(keys.running(keys.INFERENCE))
            return sum(map(int, both.execute()))


@contextmanager
def running_target(folder: Path) -> Iterator[Target]:
    """`folder`: a new one."""
    data_dir = folder / "data"
    tiny.place(data_dir)
    environment = {
        "VIREO_MODEL": "tiny",
        "VIREO_QUEUE_LIMIT": str(QUEUE_LIMIT),
        "VIREO_MAX_FINISHED_JOBS": "1000",  # what a finished job takes is no growth: their number is bounded
        "OMP_NUM_THREADS": "1",
        "VIREO_ENGINE": "eager",  # the search for an engine belongs to the first start, and would take a core
    }
    with running(data_dir, environment) as stack, stack.http() as http:
        clip = rendered("h264", folder)
        others = [rendered(name, folder) for name in ("h264_bframes", "h264_mkv")]
        videos = [
            http.post("/v1/videos", files={"video": path.read_bytes()}).raise_for_status().json()["id"]
            for path in (clip, *others)
        ]
        for video in videos:
            http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).raise_for_status()
        yield Target(stack, folder, clip, videos)


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, 100 * share)) if values else float("nan")
