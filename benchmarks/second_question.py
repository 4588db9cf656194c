"""The second question about a stored video against the first, and what gateway and queue add to the worker's compute.

A running copy of the product over HTTP; ViT-B/16 with random weights, 8 frames, 10-s clips of 340×256. Expected before
it was built: the first question takes one to two seconds (decode 80 ms, encode 0.2 to 1.7 s, text 0.1 s), the second
5 to 15 ms.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx2

from benchmarks.random_weights import write_random_b16
from benchmarks.report import Row, report
from tests.clips import SPECS, render
from tests.e2e.stack import running

FIRST, SECOND = 5, 100
TEN_SECONDS = replace(SPECS["h264_long_gop"], frames=250, gop=250, width=340, height=256)


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        data = Path(folder) / "data"
        write_random_b16(data)
        clips = [_clip(Path(folder), index) for index in range(FIRST + 1)]
        with running(data, {"VIREO_MODEL": "clip-b16"}) as stack, stack.http() as http:
            _ask_first(http, clips.pop(), ["warm", "up"])
            first, videos = zip(*(_first(http, clip, index) for index, clip in enumerate(clips)), strict=True)
            second, overhead = zip(*(_second(http, videos[i % FIRST], i) for i in range(SECOND)), strict=True)
            unseen, _ = zip(*(_second(http, videos[i % FIRST], i, f"new label {i}") for i in range(20)), strict=True)
    ratio = statistics.median(first) / statistics.median(second)
    added = statistics.median(overhead) * 1000
    return report(
        "second_question",
        [
            Row("first question, median", statistics.median(first) * 1000, "ms"),
            Row("second question, median", statistics.median(second) * 1000, "ms"),
            Row("second question with a label never seen, median", statistics.median(unseen) * 1000, "ms"),
            Row("first / second", ratio, "×", "at least 50", ratio >= 50),
            Row("added by gateway and queue, p50", added, "ms", "at most 15", added <= 15),
        ],
    )


def _clip(folder: Path, index: int) -> Path:
    """The same length and size each time, other bytes: another quality makes another file."""
    return render(
        folder / f"{index}.mp4", replace(TEN_SECONDS, options=(("preset", "ultrafast"), ("crf", str(20 + index))))
    )


def _ask_first(http: httpx2.Client, clip: Path, labels: list[str]) -> httpx2.Response:
    answer = http.post("/v1/classify", data={"labels": labels}, files={"video": clip.read_bytes()})
    answer.raise_for_status()
    return answer


def _first(http: httpx2.Client, clip: Path, index: int) -> tuple[float, str]:
    start = time.perf_counter()
    answer = _ask_first(http, clip, [f"thing {index}", "a cat", "a dog"])
    return time.perf_counter() - start, answer.json()["video"]["id"]


def _second(http: httpx2.Client, video: str, index: int, label: str = "a dog") -> tuple[float, float]:
    """Seconds of the answer, and of it what was not the worker's own compute."""
    labels = [f"thing {index % FIRST}", "a cat", label]
    start = time.perf_counter()
    answer = http.post(f"/v1/videos/{video}/classify", json={"labels": labels})
    spent = time.perf_counter() - start
    times = answer.raise_for_status().json()["timings_ms"]
    return spent, spent - (times["total"] - times["queue"]) / 1000


if __name__ == "__main__":
    sys.exit(not main())
