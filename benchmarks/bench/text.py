"""Row 4: what labels cost. A stored video is asked again, so nothing but labels is new."""

from __future__ import annotations

import time
from typing import Any

import httpx2

from benchmarks.bench.clients import Clips
from benchmarks.bench.measures import Key, Measures
from benchmarks.bench.servers import Running

ROW = "text"
COLD = (10, 400)
MANY = 10_000
TEMPLATE = "a video of {}."


def measure_round(measures: Measures, model: str, server: Running, video: str, number: int) -> None:
    """`number`: of the round; its labels were never asked."""
    with httpx2.Client(base_url=server.url, timeout=900, trust_env=False) as http:
        for count in COLD:
            labels = [f"thing {number} {index}" for index in range(count)]
            _add(measures, model, f"{count} labels, cold", _asked(http, video, labels))
            _add(measures, model, f"{count} labels, warm", _asked(http, video, labels))
        changed = [*labels[:-1], f"another thing {number}"]
        _add(measures, model, f"{COLD[-1]} labels, one changed", _asked(http, video, changed))
        many = [f"thing {index}" for index in range(MANY)]  # cold in the first round only
        cold = _asked(http, video, many)
        if number == 0:
            _add(measures, model, f"{MANY:,} labels, cold", cold)
        _add(measures, model, f"{MANY:,} labels, warm", _asked(http, video, many))


def stored(server: Running, clips: Clips) -> str:
    """The id of a video whose vector is cached."""
    with httpx2.Client(base_url=server.url, timeout=900, trust_env=False) as http:
        answer = http.post("/v1/videos", files={"video": next(clips)}).raise_for_status()
        video: str = answer.json()["id"]
        _asked(http, video, ["a cat", "a dog"])
    return video


def _asked(http: httpx2.Client, video: str, labels: list[str]) -> dict[str, float]:
    """Milliseconds: text and scores as the worker measured them, and the whole question."""
    question: dict[str, Any] = {"labels": labels, "templates": [TEMPLATE], "top_k": 10}
    began = time.perf_counter()
    answer = http.post(f"/v1/videos/{video}/classify", json=question).raise_for_status().json()
    whole = 1000 * (time.perf_counter() - began)
    times = answer["timings_ms"]
    return {"text + score": times["text"] + times["score"], "over HTTP": whole}


def _add(measures: Measures, model: str, subject: str, times: dict[str, float]) -> None:
    for what, value in times.items():
        measures.add(Key(ROW, model, subject, what, "ms"), value)
