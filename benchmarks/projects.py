"""Whether a project can tell from an answer, or from its time, that another project has sent the same video.

A running copy of the product over HTTP, with the tiny model. One project sends half of some videos; another then asks
about all of them once, in random order. What counts is how well the time of its answers tells the two halves apart:
the share of pairs in which the video that was sent before is the faster one (AUC), where 0.5 is a coin. The same
measure of its own second questions shows that it finds a cache where there is one.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np

from benchmarks.report import Row, report
from core.access.ring import KeyRing
from core.settings import Settings
from launcher.redis_at_hand import redis_at_hand
from tests import tiny
from tests.clips import SPECS, render
from tests.e2e.stack import running

VIDEOS = 150  # of each half
FRAMES = 500  # of a video: its decoding is most of the time of an answer that finds no cache
SEED = 13


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        data_dir = Path(folder) / "data"
        tiny.place(data_dir)
        clip = render(Path(folder) / "clip.mp4", replace(SPECS["h264"], frames=FRAMES)).read_bytes()
        # Bytes behind the last box of a file are not read: the same work, and another video.
        sent, fresh = ([clip + f"{half} {number}".encode() for number in range(VIDEOS)] for half in ("sent", "fresh"))
        with (
            running(data_dir, {"VIREO_MODEL": "tiny"}) as stack,
            redis_at_hand(Settings(data_dir=data_dir)) as redis,
            stack.http() as acme,
            stack.http() as other,
        ):
            for project, client in (("acme", acme), ("other", other)):
                token = KeyRing(redis).create("bench", ("classify",), project)[1]
                client.headers["Authorization"] = f"Bearer {token}"
                _ask(client, clip)  # the worker has all of its code in memory now, and the labels of the project
            for video in sent:
                _ask(acme, video)
            asked = [(video, half) for half, videos in (("sent", sent), ("fresh", fresh)) for video in videos]
            random.Random(SEED).shuffle(asked)
            answers = [(half, *_ask(other, video)) for video, half in asked]
            repeated = [_ask(other, video) for video, _ in asked]
    times = {name: np.array([each[1] for each in answers if each[0] == name]) for name in ("sent", "fresh")}
    hits = sum(each[2] == "hit" for each in answers)
    guess, low, high = _auc(times["sent"], times["fresh"])
    own = _auc(np.array([seconds for seconds, _ in repeated]), np.concatenate(list(times.values())))[0]
    return report(
        "projects",
        [
            Row("videos that another project had sent, and others", VIDEOS, "each"),
            Row("first answers that were a hit", hits, "answers", "none", hits == 0),
            Row("first answer, sent by another before, median", 1000 * float(np.median(times["sent"])), "ms"),
            Row("first answer, new to all, median", 1000 * float(np.median(times["fresh"])), "ms"),
            Row("AUC of a guess by time", guess, "", "0.5 in the interval", low <= 0.5 <= high),
            Row("its 95 % interval, low", low, ""),
            Row("its 95 % interval, high", high, ""),
            Row("AUC of own second questions against first ones", own, "", "at least 0.8", own >= 0.8),
        ],
    )


def _ask(http: httpx2.Client, video: bytes) -> tuple[float, str]:
    """Seconds, and whether the video was cached."""
    began = time.perf_counter()
    answer = http.post("/v1/classify", data={"labels": '["a cat","a dog"]'}, files={"video": video}).raise_for_status()
    return time.perf_counter() - began, str(answer.json()["cache"]["video"])


def _auc(faster: np.ndarray, slower: np.ndarray) -> tuple[float, float, float]:
    """The share of pairs in which one of `faster` is the faster one, and its 95 % interval by 2,000 resamples."""

    def share(one: np.ndarray, two: np.ndarray) -> float:
        return float(np.mean(one[:, None] < two[None, :]) + 0.5 * np.mean(one[:, None] == two[None, :]))

    rng = np.random.default_rng(SEED)
    drawn = [share(rng.choice(faster, len(faster)), rng.choice(slower, len(slower))) for _ in range(2000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return share(faster, slower), float(low), float(high)


if __name__ == "__main__":
    sys.exit(not main())
