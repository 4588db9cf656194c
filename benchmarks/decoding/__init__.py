"""Decoding beside decord and torchcodec: frames of a file at the size of a model's input, in CPU time and wall time.

    python -m benchmarks.decoding [--frames 8 32] [--rounds 7] [--peers DIR] [--keep DIR]

Each reader runs in a process of its own and is asked in turns; `readers` has what each does. `clips` renders the files.
decord and torchcodec are installed into environments that the benchmark makes. torchcodec gets the FFmpeg that PyAV
brings, so it decodes with the very libraries that Vireo decodes with. Goal: on five of six clips at most the CPU time
of the better of the two, and never more than 1.25 times as much.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench.environments import make
from benchmarks.decoding.clips import CLIPS, Clip, render
from benchmarks.decoding.process import Cost, ReaderProcess, ffmpeg_of_pyav
from benchmarks.report import Row, report

PEERS = {"decord": "decord==0.6.0", "torchcodec": "torchcodec==0.17.0"}
OURS = ("vireo", "vireo-threads", "vireo-child")
WORST = 0.8


def main(argv: Sequence[str] | None = None) -> bool:
    options = _options(argv)
    rows: list[Row] = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vireo-decoding-")))
        readers = {name: stack.enter_context(ReaderProcess(name, Path(sys.executable))) for name in OURS}
        for name, package in PEERS.items():
            python = make((options.peers or scratch) / name, [package]).python
            libraries = ffmpeg_of_pyav(scratch / "ffmpeg") if name == "torchcodec" else None
            readers[name] = stack.enter_context(ReaderProcess(name, python, libraries))
        for frames in options.frames:
            ratios = []
            for clip in CLIPS:
                path = render(clip, options.keep or scratch)
                found = measure(readers, clip, path, frames, options.rounds)
                ratios.append(best_peer(found) / cpu_of(found["vireo"]))
                rows += as_rows(clip, frames, found, ratios[-1])
                print(*(f"{row.what}: {row.value:.2f} {row.unit}" for row in rows[-len(found) - 1 :]), sep="\n")
            won = sum(ratio >= 1 for ratio in ratios)
            rows.append(Row(f"{frames} frames: clips won", won, "", "at least 5 of 6", won >= 5))
            rows.append(
                Row(f"{frames} frames: worst ratio", min(ratios), "×", f"at least {WORST}", min(ratios) >= WORST)
            )
    return report("decoding", rows)


def measure(
    readers: dict[str, ReaderProcess], clip: Clip, path: Path, frames: int, rounds: int
) -> dict[str, list[Cost]]:
    """The costs of each reader, one per round. The round before the first warms what can be warmed."""
    found: dict[str, list[Cost]] = {name: [] for name in readers}
    for _ in range(rounds + 1):
        for name, reader in readers.items():
            found[name].append(reader.ask(path, frames, clip.width, clip.height))
    return {name: costs[1:] for name, costs in found.items()}


def cpu_of(costs: list[Cost]) -> float:
    return statistics.median(cost.cpu for cost in costs)


def best_peer(found: dict[str, list[Cost]]) -> float:
    return min(cpu_of(found[name]) for name in PEERS)


def as_rows(clip: Clip, frames: int, found: dict[str, list[Cost]], ratio: float) -> list[Row]:
    rows = []
    for name, costs in found.items():
        wall = 1000 * statistics.median(cost.wall for cost in costs)
        rows.append(
            Row(f"{clip.name}, {frames} frames, {name}", 1000 * cpu_of(costs), "ms", f"{wall:.0f} ms by the clock")
        )
    return [*rows, Row(f"{clip.name}, {frames} frames: best peer / vireo", ratio, "×")]


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding")
    parser.add_argument("--frames", type=int, nargs="+", default=(8, 32))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", type=Path, help="folder for the peers' environments, kept for the next run")
    parser.add_argument("--keep", type=Path, help="folder for the rendered clips, kept for the next run")
    return parser.parse_args(argv)
