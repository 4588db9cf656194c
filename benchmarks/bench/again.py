"""Row 5: a second question about a video, beside the first."""

from __future__ import annotations

import statistics
import time

import httpx2

from benchmarks.bench.clients import LABELS, Clips, ask
from benchmarks.bench.measures import Key, Measures
from benchmarks.bench.servers import Running

ROW = "re-ask"
TIMES = 20


def measure_round(measures: Measures, model: str, server: Running, clips: Clips) -> None:
    with httpx2.Client(timeout=900, trust_env=False) as http:
        file = next(clips)
        cold, inside_cold = _asked(http, server, file)
        again = [_asked(http, server, file) for _ in range(TIMES)]
        video = ask(http, server, file).json()["video"]["id"]
        by_id = [_by_id(http, server, video) for _ in range(TIMES)]
    samples = {
        ("cold", "over HTTP"): cold,
        ("cold", "inside the service"): inside_cold,
        ("the file again", "over HTTP"): statistics.median(whole for whole, _ in again),
        ("the file again", "inside the service"): statistics.median(inside for _, inside in again),
        ("by id", "over HTTP"): statistics.median(whole for whole, _ in by_id),
        ("by id", "inside the service"): statistics.median(inside for _, inside in by_id),
    }
    for (subject, what), value in samples.items():
        measures.add(Key(ROW, model, subject, what, "ms"), value)


def _asked(http: httpx2.Client, server: Running, file: bytes) -> tuple[float, float]:
    """Milliseconds over HTTP, and of the worker with the queue."""
    began = time.perf_counter()
    answer = ask(http, server, file)
    return 1000 * (time.perf_counter() - began), answer.json()["timings_ms"]["total"]


def _by_id(http: httpx2.Client, server: Running, video: str) -> tuple[float, float]:
    began = time.perf_counter()
    answer = http.post(f"{server.url}/v1/videos/{video}/classify", json={"labels": list(LABELS)}).raise_for_status()
    return 1000 * (time.perf_counter() - began), answer.json()["timings_ms"]["total"]
