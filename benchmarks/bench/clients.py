"""Clients that upload a video with each question, another one each time, and what the answers cost."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from benchmarks.bench.servers import Running
from tests.clips import SPECS, render

LABELS = ("a cat", "a dog", "riding a bicycle", "cooking", "swimming", "a car", "dancing", "running", "rain", "a train")
CLIP = replace(SPECS["h264_long_gop"], frames=250, gop=250, width=340, height=256)
"""10 s of 340×256."""
TRIES = 300
"""A second apart."""
SETTLE_SECONDS = 0.3
"""After the last answer, so that what a server does behind it counts."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some questions to one server. cpu: CPU-seconds per video; wall: seconds per video; latency: median seconds."""

    videos: int
    cpu: float
    wall: float
    latency: float


class Clips:
    """A clip as files that are all different: a box behind its end, which players skip, has a number."""

    def __init__(self, folder: Path, spec: object = CLIP) -> None:
        assert isinstance(spec, type(CLIP))
        self.path = render(folder / f"clip-{spec.width}x{spec.height}-{spec.frames}{spec.suffix}", spec)
        self._content = self.path.read_bytes()
        self._numbers = itertools.count(time.time_ns())

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._content + (16).to_bytes(4, "big") + b"free" + next(self._numbers).to_bytes(8, "big")


def ask(http: httpx2.Client, server: Running, clip: bytes, labels: Sequence[str] = LABELS) -> httpx2.Response:
    """A server that refuses for now is asked again; what that costs it counts. Raises: httpx2.HTTPStatusError,
    RuntimeError for a promise of an answer (202)."""
    form, files = {"labels": json.dumps(labels)}, {"video": ("clip.mp4", clip, "video/mp4")}
    for _ in range(TRIES):
        answer = http.post(server.url + server.server.ask, data=form, files=files)
        if answer.status_code not in (429, 503):
            break
        time.sleep(1)
    if answer.raise_for_status().status_code != 200:
        raise RuntimeError(f"{server.server.title} did not answer: {answer.text[:500]}")
    return answer


def block(server: Running, clips: Clips, clients: int, videos: int) -> Block:
    """`videos` questions by `clients` that each ask again as soon as they are answered."""
    files = [next(clips) for _ in range(videos)]
    with httpx2.Client(timeout=900, trust_env=False, limits=httpx2.Limits(max_connections=clients)) as http:

        def one(file: bytes) -> float:
            start = time.perf_counter()
            ask(http, server, file)
            return time.perf_counter() - start

        before, began = server.cpu(), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            latencies = list(pool.map(one, files))
        wall = time.perf_counter() - began
    time.sleep(SETTLE_SECONDS)
    return Block(videos, (server.cpu() - before) / videos, wall / videos, statistics.median(latencies))
