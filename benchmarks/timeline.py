"""When things happen: errors of boundaries on drawn films and on films of real clips, and what the option costs.

Everything runs over HTTP against a copy of the product with `lite`. Predictions are in NOTES.md. The real clips are
those of VIREO_CLIPS; without them that part is left out, and the report says so.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from benchmarks.report import Row, report
from tests.e2e.labels import EVERYDAY
from tests.e2e.stack import Stack, running
from tests.scenes import FPS, HEIGHT, SCENES, WIDTH, film

FILMS, REAL_FILMS, SHOTS = 20, 12, 5
ABSENT = EVERYDAY[:5]
SPACINGS = ((1.0, 1.0), (1.0, 2.0), (1.0, 3.0), (0.5, 0.5), (0.5, 1.0), (2.0, 2.0))  # seconds; the first: the default
ASKED = 30  # repeats of a question that needs no decoding

Shots = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Judged:
    """Of one film: the distance of each cut to its boundary, None where there is none, and the correct share."""

    errors: list[float | None]
    correct: float


def main() -> bool:
    clips = Path(os.environ.get("VIREO_CLIPS", Path(__file__).parents[2] / "shared" / "clips")) / "actions20"
    with (
        tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder,
        running(Path(folder) / "data", {"VIREO_MODEL": "lite"}) as stack,
        stack.http(600) as http,
    ):
        rows = [*_drawn(http, Path(folder)), *_cost(http, Path(folder)), *_hour(stack, http, Path(folder))]
        if clips.is_dir():
            rows += _real(http, Path(folder), clips)
        else:
            print(f"no real clips: {clips} is absent (set VIREO_CLIPS)")
    return report("timeline", rows)


def _drawn(http: httpx2.Client, folder: Path) -> list[Row]:
    rng = np.random.default_rng(0)
    films = [_random_shots(rng, list(SCENES)) for _ in range(FILMS)]
    videos = [_keep(http, film(folder / f"drawn{n}.mp4", shots, seed=n)) for n, shots in enumerate(films)]
    rows: list[Row] = []
    for stride, window in SPACINGS:
        judged = [
            _judge(shots, _ask(http, video, [*SCENES, *ABSENT], stride=stride, window=window))
            for video, shots in zip(videos, films, strict=True)
        ]
        what = f"drawn, stride {stride:g} s, window {window:g} s"
        promised = (stride, window) == SPACINGS[0]
        rows += _quality(what, judged, stride, "all within a stride" if promised else "", 0.95 if promised else 0)
    return rows


def _real(http: httpx2.Client, folder: Path, clips: Path) -> list[Row]:
    rng = np.random.default_rng(1)
    pictures = {path.parent.name.replace("_", " "): _read(path) for path in sorted(clips.glob("*/*.mp4"))}
    labels = list(pictures)
    named = {path.parent.name.replace("_", " "): _first(http, path, labels) for path in sorted(clips.glob("*/*.mp4"))}
    right = {label for label, first in named.items() if first == label}
    films: list[tuple[Shots, str]] = []
    for number in range(REAL_FILMS):
        shots: Shots = []
        for label in rng.choice(labels, SHOTS, replace=False).tolist():
            longest = min(len(pictures[label]) / FPS, 8.0)
            shots.append((label, round(FPS * rng.uniform(min(4.0, longest), longest)) / FPS))
        frames = [frame for label, seconds in shots for frame in pictures[label][: round(seconds * FPS)]]
        films.append((shots, _keep(http, _write(folder / f"real{number}.mp4", frames))))
    rows = [Row("real clips: right label first for the whole clip", 100 * len(right) / len(labels), "%")]
    for window in (1.0, 3.0):
        judged = [_judge(shots, _ask(http, video, labels, window=window)) for shots, video in films]
        between_right = [
            error
            for (shots, _), each in zip(films, judged, strict=True)
            for ((before, _), (after, _)), error in zip(pairwise(shots), each.errors, strict=True)
            if {before, after} <= right
        ]
        found = sum(error is not None and error <= 1.0 for error in between_right)
        what = f"real clips, stride 1 s, window {window:g} s"
        rows += [
            *_quality(what, judged, 1.0),
            Row(f"{what}: cuts between two clips that it names rightly", len(between_right), ""),
            Row(f"{what}: of these, found within a stride", 100 * found / max(len(between_right), 1), "%"),
        ]
    return rows


def _cost(http: httpx2.Client, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for seconds in (10.0, 60.0):
        shots = [(label, seconds / 5) for label in SCENES]
        plain, timed = (film(folder / f"cost{seed}.mp4", shots, seed=seed) for seed in (100, 101))
        _first(http, film(folder / "warm.mp4", shots[:1], seed=99), list(SCENES))
        without, first = _time(http, plain, timeline="false"), _time(http, timed, timeline="true")
        again = _again(http, _keep(http, plain), "classify", {})
        asked = _again(http, _keep(http, timed), "timeline", {})
        what = f"{seconds:g}-s film"
        rows += [
            Row(f"{what}: first question", 1000 * without, "ms"),
            Row(f"{what}: first question with a timeline", 1000 * first, "ms"),
            Row(f"{what}: with / without", first / without, "×"),
            Row(f"{what}: another question, median", 1000 * again, "ms"),
            Row(f"{what}: timeline with other labels, median", 1000 * asked, "ms"),
            Row(f"{what}: of another question", asked / again, "×", "at most 3", asked <= 3 * again),
        ]
    return rows


def _hour(stack: Stack, http: httpx2.Client, folder: Path) -> list[Row]:
    """Memory of the worker that has answered everything before, at its highest, before and after an hour of video."""
    video = _keep(http, _repeated(film(folder / "minute.mp4", [(label, 12.0) for label in SCENES]), folder, 60))
    (worker,) = stack.children("--queue inference")
    _set_peak_back(worker)
    before = _peak(worker)
    _ask(http, _keep(http, folder / "minute.mp4"), list(SCENES))
    minute = _peak(worker)
    start = time.perf_counter()
    body = {"labels": list(SCENES), "timeline": {}, "video_id": video}
    sent = http.post("/v1/classify", json=body, headers={"Prefer": "respond-async"}).raise_for_status().json()
    while (job := http.get(f"/v1/jobs/{sent['id']}").json())["state"] in ("queued", "running"):
        time.sleep(0.5)
    spent = time.perf_counter() - start
    assert job["state"] == "succeeded", job
    assert len(job["result"]["timeline"]["timestamps"]) == 1200
    grown = _peak(worker) - minute
    return [
        Row("an hour of 320×240: time", spent, "s"),
        Row("an hour: points", len(job["result"]["timeline"]["timestamps"]), ""),
        Row("an hour: segments", len(job["result"]["timeline"]["segments"]), ""),
        Row("peak memory of the worker for a minute of it", minute - before, "MB"),
        Row("an hour: more than that", grown, "MB", "at most 200", grown <= 200),
    ]


def _repeated(source: Path, folder: Path, times: int) -> Path:
    """The same packets again and again, one after the other."""
    path = folder / "hour.mp4"
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.dts is not None]
        length, tick = stream.duration or 0, stream.time_base or Fraction(1, FPS)
        target = container.add_stream_from_template(stream)
        kept = [(bytes(packet), packet.pts or 0, packet.dts or 0, packet.is_keyframe) for packet in packets]
        for turn in range(times):
            for data, pts, dts, key in kept:
                packet = av.Packet(data)
                packet.stream, packet.time_base = target, tick
                packet.pts, packet.dts, packet.is_keyframe = pts + turn * length, dts + turn * length, key
                container.mux(packet)
    return path


def _set_peak_back(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> float:
    """The most memory that the process has had, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _quality(what: str, judged: Sequence[Judged], stride: float, claim: str = "", least: float = 0.0) -> list[Row]:
    errors = [error for each in judged for error in each.errors]
    found = [error for error in errors if error is not None]
    within = sum(error <= stride for error in found) / len(errors)
    correct = statistics.fmean(each.correct for each in judged)
    return [
        Row(f"{what}: cuts found within a stride", 100 * within, "%", claim, within == 1 if claim else None),
        Row(f"{what}: error of the cuts that have a boundary, median", statistics.median(found or [float("nan")]), "s"),
        Row(f"{what}: the largest", max(found, default=float("nan")), "s"),
        Row(
            f"{what}: correct share of the seconds",
            100 * correct,
            "%",
            f"above {least:.0%}" if least else "",
            correct > least if least else None,
        ),
    ]


def _judge(shots: Shots, timeline: dict[str, Any]) -> Judged:
    cuts = np.cumsum([seconds for _, seconds in shots]).tolist()
    segments = timeline["segments"]
    errors: list[float | None] = []
    for cut, ((before, _), (after, _)) in zip(cuts, pairwise(shots), strict=False):
        boundaries = [
            abs((one["end"] + two["start"]) / 2 - cut)
            for one, two in pairwise(segments)
            if (one["label"], two["label"]) == (before, after)
        ]
        errors.append(min(boundaries, default=None))
    correct = sum(
        max(0.0, min(segment["end"], end) - max(segment["start"], end - seconds))
        for (label, seconds), end in zip(shots, cuts, strict=True)
        for segment in segments
        if segment["label"] == label
    )
    return Judged(errors, correct / cuts[-1])


def _random_shots(rng: np.random.Generator, labels: list[str]) -> Shots:
    shots: Shots = []
    for _ in range(SHOTS):
        others = [label for label in labels if not shots or label != shots[-1][0]]
        shots.append((str(rng.choice(others)), round(FPS * rng.uniform(2.5, 8)) / FPS))
    return shots


def _read(path: Path) -> list[np.ndarray[Any, Any]]:
    """The frames at FPS frames a second, uint8 [HEIGHT, WIDTH, 3]."""
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        frames = [frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray() for frame in container.decode(video=0)]
    return [frames[int(index * rate / FPS)] for index in range(int(len(frames) * FPS / rate))]


def _write(path: Path, frames: Sequence[np.ndarray[Any, Any]]) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def _keep(http: httpx2.Client, path: Path) -> str:
    video: str = http.post("/v1/videos", files={"video": path.read_bytes()}).raise_for_status().json()["id"]
    return video


def _ask(http: httpx2.Client, video: str, labels: Sequence[str], **options: float) -> dict[str, Any]:
    answer = http.post(f"/v1/videos/{video}/timeline", json={"labels": list(labels), **options}).raise_for_status()
    timeline: dict[str, Any] = answer.json()["timeline"]
    return timeline


def _first(http: httpx2.Client, path: Path, labels: Sequence[str]) -> str:
    answer = http.post("/v1/classify", data={"labels": list(labels)}, files={"video": path.read_bytes()})
    label: str = answer.raise_for_status().json()["predictions"][0]["label"]
    return label


def _time(http: httpx2.Client, path: Path, **fields: str) -> float:
    """Seconds of the first question about a video."""
    data = {"labels": list(SCENES)} | fields
    start = time.perf_counter()
    http.post("/v1/classify", data=data, files={"video": path.read_bytes()}).raise_for_status()
    return time.perf_counter() - start


def _again(http: httpx2.Client, video: str, what: str, options: dict[str, Any]) -> float:
    """Seconds of a question about a stored video, with labels that take turns, median."""
    spent: list[float] = []
    for number in range(ASKED):
        labels = [*SCENES, EVERYDAY[number % 4]]
        start = time.perf_counter()
        http.post(f"/v1/videos/{video}/{what}", json={"labels": labels} | options).raise_for_status()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


if __name__ == "__main__":
    sys.exit(not main())
