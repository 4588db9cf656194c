"""Clips that one core reads for training in a second, against the steps of one H100 on B/16: how many cores keep ahead.

    python -m benchmarks.data_stall [--rounds 5]

8 frames of 224 of clips of 10 s, as an epoch of training reads them: drawn anew (crop, flip, one frame of each
segment), with RandAugment besides, and drawn from the frames that `cache_frames` keeps. CPU time is that of this
process and its decode children; the kinds take turns.

The rate of the GPU is computed, not measured. A step of B/16 takes 3 × 17.6 G multiplications for each frame (forward,
and twice that backward), 0.845 TFLOP for a clip of 8 frames. An H100 has 989 TFLOPS (bf16, dense).

    40 %   of that: what well-kept loops of transformers reach
    17 %   what Text4Vis' figures come to: 30 epochs of 240,000 clips in 3.3 V100-days (paper, Table 9), so 25 clips/s
           and 21 of the 125 TFLOPS of a V100
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.clip_reading import FRAMES, copies, pool
from benchmarks.decode_plan import PROFILE
from benchmarks.decoding.clips import CLIPS, Clip, render
from benchmarks.report import Row, report
from benchmarks.training_cost import cpu_seconds
from models.frames.augmentation import Augment
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool

CLIP_TFLOP = 3 * 2 * 17.6e9 * FRAMES / 1e12
H100_TFLOPS = 989.0
SHARES = (0.40, 0.17)
BATCH = 256
READS = 32  # clips per measurement
SIZES = (CLIPS[0], Clip("10 s, 1280×720, GOP 250", 1280, 720, 10, 250))


def main(rounds: int = 5) -> bool:
    rows = [Row(f"one H100, B/16, {share:.0%} of peak: clips", rate(share), "/s") for share in SHARES]
    rows += [
        Row(f"one H100, B/16, {share:.0%} of peak: steps of {BATCH}", rate(share) / BATCH, "/s") for share in SHARES
    ]
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as name, pool() as children:
        for size in SIZES:
            folder = Path(name) / str(size.height)
            folder.mkdir()
            samples = [
                Sample(path, 0) for path in sorted(copies(render(size, folder / "rendered"), folder / "clips"))[:READS]
            ]
            for what, per_core in measure(children, folder, samples, rounds).items():
                rows.append(Row(f"{size.name}, {what}: clips per core-second", per_core, "/s"))
                cores = " and ".join(f"{math.ceil(rate(share) / per_core)}" for share in SHARES)
                rows[-1] = replace(rows[-1], claim=f"{cores} cores keep ahead")
    return report("data_stall", rows)


def rate(share: float) -> float:
    """Clips per second of the GPU."""
    return share * H100_TFLOPS / CLIP_TFLOP


def measure(children: DecodePool, folder: Path, samples: list[Sample], rounds: int) -> dict[str, float]:
    """Clips per core-second by the kind of reading."""
    plain, cache = Augment(), folder / "frames"
    readers = {
        "drawn": ClipReader(children, PROFILE, FRAMES, augment=plain),
        "drawn, RandAugment": ClipReader(children, PROFILE, FRAMES, augment=replace(plain, randaugment=(2, 9))),
        "cached frames": ClipReader(children, PROFILE, FRAMES, augment=plain, cache=cache),
    }
    for reader in readers.values():  # children start, and the cache is filled
        read(reader, samples, 0)
    found: dict[str, list[float]] = {what: [] for what in readers}
    for number in range(rounds):
        for what, reader in readers.items():
            found[what].append(len(samples) / read(reader, samples, number + 1))
    return {what: statistics.median(rates) for what, rates in found.items()}


def read(reader: ClipReader, samples: list[Sample], seed: int) -> float:
    """CPU seconds, of this process and its children."""
    before = cpu_seconds(os.getpid())
    for _ in reader.batches([[replace(sample, seed=seed) for sample in samples]]):
        pass
    return cpu_seconds(os.getpid()) - before


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    sys.exit(not main(options.parse_args().rounds))
