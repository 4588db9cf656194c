"""Load: what a copy with the tiny model does below its capacity, above it, for two projects, and over many requests.

    python -m benchmarks load                               all of it, about twenty minutes on two cores
    python -m benchmarks.load [--parts below above fair memory] [--requests 10000] [--videos 2000]

The clients are Locust users on the same machine, so they take a part of its cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.load import fairness, memory, ramp
from benchmarks.load.target import running_target
from benchmarks.report import Row, report

PARTS: Final = ("below", "above", "fair", "memory")


def main() -> bool:
    options = _options()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vireo-load-") as folder, running_target(Path(folder)) as target:
        parts: Mapping[str, Callable[[], list[Row]]] = {
            "below": lambda: ramp.below(target, options.seconds),
            "above": lambda: ramp.above(target, options.seconds),
            "fair": lambda: fairness.measure(target, options.seconds),
            "memory": lambda: memory.measure(target, options.requests, options.videos),
        }
        for name in options.parts:
            print(f"{name} …", flush=True)
            rows += parts[name]()
    return report("load", rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement under load")
    parser.add_argument("--requests", type=int, default=10_000, help="over which memory is watched")
    parser.add_argument("--videos", type=int, default=2_000, help="different ones, over which memory is watched")
    return parser.parse_args()
