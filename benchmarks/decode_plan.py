"""The decode plan against the two plain ways to get 8 frames: decoding from the start, and seeking once per frame.

    python -m benchmarks.decode_plan [--repeats 7] [--threads 1] [--keep DIR]

All three convert and crop their frames in the same way. Repeats are interleaved, so a busy machine slows all three.
Accepted: on each clip the plan takes at most 1.15 times as long as the better of the two.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from benchmarks.decoding.clips import CLIPS, Clip, render
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views, frame_indices
from models.frames.transforms import crop_picture
from models.profiles.profile import Profile
from worker.video.clip import DecodeRequest, decode_clip
from worker.video.colour import ShownFrame
from worker.video.container import VideoLimits

FRAMES = 8
ACCEPTED = 1.15
PROFILE = Profile("bench", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 224, 256, ("{}",))
RESULTS = Path(__file__).parent / "results" / "decode_plan.json"


@dataclass(frozen=True, slots=True)
class Row:
    clip: str
    plan_ms: float
    sequential_ms: float
    seek_ms: float
    ratio: float  # plan to the better of the others


def main() -> bool:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--threads", type=int, default=1, help="decoder threads, for all three")
    options.add_argument("--keep", type=Path, help="folder for the rendered clips, kept for the next run")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(clip, chosen.keep or Path(folder), chosen.repeats, chosen.threads) for clip in CLIPS[:3]]
    print(f"{'clip':30s} {'plan':>9s} {'sequential':>11s} {'seek':>9s}  plan / better")
    for row in rows:
        print(
            f"{row.clip:30s} {row.plan_ms:6.0f} ms {row.sequential_ms:8.0f} ms {row.seek_ms:6.0f} ms  {row.ratio:.2f}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    setting = {"machine": platform.machine(), "threads": chosen.threads, "repeats": chosen.repeats, "frames": FRAMES}
    RESULTS.write_text(json.dumps({**setting, "accepted": ACCEPTED, "rows": [asdict(row) for row in rows]}, indent=2))
    worst = max(row.ratio for row in rows)
    print(f"worst ratio {worst:.2f}, accepted {ACCEPTED}: {'yes' if worst <= ACCEPTED else 'NO'}")
    return worst <= ACCEPTED


def measure(clip: Clip, folder: Path, repeats: int, threads: int) -> Row:
    path = render(clip, folder)
    ways: dict[str, Callable[[Path, int], list[UInt8Array]]] = {"plan": plan, "sequential": sequential, "seek": seek}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            begin = time.perf_counter()
            way(path, threads)
            seconds[name].append(time.perf_counter() - begin)
    ms = {name: 1000 * statistics.median(times[1:]) for name, times in seconds.items()}  # the first one warms caches
    ratio = ms["plan"] / min(ms["sequential"], ms["seek"])
    took = {name: round(value, 1) for name, value in ms.items()}
    return Row(clip.name, took["plan"], took["sequential"], took["seek"], round(ratio, 3))


def plan(path: Path, threads: int) -> list[UInt8Array]:
    request = DecodeRequest(PROFILE, Views(), FRAMES, VideoLimits(), threads)
    out = np.empty(request.shape, np.uint8)
    decode_clip(path, request, out)
    return list(out[0])


def sequential(path: Path, threads: int) -> list[UInt8Array]:
    """Every frame from the first to the last wanted one."""
    with av.open(str(path)) as container:
        stream = _stream(container, threads)
        wanted = frame_indices(stream.frames, FRAMES, PROFILE.sampling)[0].tolist()
        return _crops(_at(container.decode(stream), wanted))


def seek(path: Path, threads: int) -> list[UInt8Array]:
    """For each wanted frame: seek to its keyframe and decode from there."""
    with av.open(str(path)) as container:
        stream = _stream(container, threads)
        assert stream.average_rate
        assert stream.time_base
        tick = 1 / (stream.average_rate * stream.time_base)
        wanted = [int(i * tick) for i in frame_indices(stream.frames, FRAMES, PROFILE.sampling)[0].tolist()]
        return _crops(_seek_frame(container, stream, pts) for pts in wanted)


def _seek_frame(container: InputContainer, stream: VideoStream, pts: int) -> VideoFrame:
    container.seek(pts, stream=stream)
    return next(frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= pts)


def _at(frames: Iterator[VideoFrame], wanted: list[int]) -> Iterator[VideoFrame]:
    for index, frame in enumerate(frames):
        if index in wanted:
            yield frame
        if index == wanted[-1]:
            return


def _crops(frames: Iterator[VideoFrame]) -> list[UInt8Array]:
    reformatter = VideoReformatter()
    return [crop_picture(ShownFrame(frame, reformatter), PROFILE) for frame in frames]


def _stream(container: InputContainer, threads: int) -> VideoStream:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = threads
    stream.codec_context.thread_type = ThreadType.AUTO if threads > 1 else ThreadType.NONE
    return stream


if __name__ == "__main__":
    sys.exit(not main())
