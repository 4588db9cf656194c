"""Clips per second that training reads with two decode children: decoded, and from frames cached on disk.

The clips last 10 s and have 340×256 pixels, 30 frames per second and one keyframe per 250 frames, so decoding costs
as much as for real footage; 8 frames of 224 are read. Expectations before it was built: 25 clips/s decoded, four times
as many from the cache, and almost no wait for an optimiser whose step takes longer than decoding its batch.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode_plan import PROFILE
from benchmarks.decoding.clips import CLIPS, render
from benchmarks.report import Row, report
from models.frames.augmentation import Augment
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.frame_cache import MAX_ENTRY_BYTES
from worker.decoding.pool import DecodePool

CHILDREN, FRAMES, BATCH, BATCHES = 2, 8, 16, 6
VIDEOS = BATCH * BATCHES  # files with different content, which the cache keeps apart


@dataclass(frozen=True, slots=True)
class Epoch:
    """seconds: in total; waited: for batches after the first; the caller spent the rest itself."""

    seconds: float
    waited: float

    @property
    def rate(self) -> float:
        return VIDEOS / self.seconds


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as name, pool() as children:
        folder = Path(name)
        plan = planned(copies(render(CLIPS[0], folder / "rendered"), folder / "clips"))

        def reader(augment: Augment | None, cache: Path | None = None) -> ClipReader:
            return ClipReader(children, PROFILE, FRAMES, augment=augment, cache=cache, ahead=BATCH)

        def run(reading: ClipReader, compute: Callable[[], None] = lambda: None) -> Epoch:
            return epoch(reading, plan, compute)

        run(reader(Augment()))  # warms the children and the page cache
        decoded = run(reader(Augment()))
        operated = run(reader(Augment(randaugment=(2, 9))))
        filling = run(reader(Augment(), folder / "cache"))
        cached = run(reader(Augment(), folder / "cache"))
        again = run(reader(Augment()))
        steady = run(reader(None))
        step = 1.5 * BATCH / min(decoded.rate, again.rate, steady.rate)
        busy = run(reader(Augment()), lambda: time.sleep(step))
        megabytes = sum(file.stat().st_size for file in (folder / "cache").iterdir()) / VIDEOS / 2**20
    rate, idle = (decoded.rate + again.rate) / 2, busy.waited / busy.seconds
    return report(
        "clip_reading",
        [
            Row("decoded, two children", rate, "/s"),
            Row("decoded, with RandAugment(2, 9)", operated.rate, "/s"),
            Row("decoded, frames of evaluation", steady.rate, "/s"),
            Row("first epoch with the cache", filling.rate, "/s"),
            Row("later epochs with the cache", cached.rate, "/s"),
            Row("cache on disk, per clip", megabytes, "MB"),
            Row("cache / decoded", cached.rate / rate, "×", "at least 2", cached.rate / rate >= 2),
            Row("optimiser waits, steps 1.5 × decoding", 100 * idle, "%", "at most 10", idle <= 0.1),
        ],
    )


def pool() -> DecodePool:
    return DecodePool(CHILDREN, 60.0, 1 << 30, 4096 * 2304, 600.0, MAX_ENTRY_BYTES)


def copies(clip: Path, folder: Path) -> list[Path]:
    """Files with the same frames and different bytes: each has a trailing box that players skip."""
    folder.mkdir()
    paths = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    for number, path in enumerate(paths):
        shutil.copy(clip, path)
        with path.open("ab") as file:
            file.write(b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))
    return paths


def planned(paths: list[Path]) -> list[list[Sample]]:
    samples = [Sample(path, 0, seed=number) for number, path in enumerate(paths)]
    return [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]


def epoch(reader: ClipReader, plan: list[list[Sample]], compute: Callable[[], None]) -> Epoch:
    begin = asked = time.perf_counter()
    waited = 0.0
    for number, batch in enumerate(reader.batches(plan)):
        waited += time.perf_counter() - asked if number else 0.0
        assert len(batch.labels) == BATCH
        compute()
        asked = time.perf_counter()
    return Epoch(time.perf_counter() - begin, waited)


if __name__ == "__main__":
    sys.exit(not main())
