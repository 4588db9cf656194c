"""Prompts after a bridge, prompts without it, and full tuning, at few clips per class.

    python -m benchmarks.prompting [--seeds 3] [--steps 100]

ViFi-CLIP, Table 7 ("bridge and prompt") on the small world. Protocol and prediction are in benchmarks/NOTES.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from benchmarks.method_runs import FILMS, HELD_OUT, NOVEL, SOURCE, fit, open_world, render, zero_shot
from benchmarks.report import Row, report
from benchmarks.trials import Shares
from core.vocabulary import MethodName
from models.recognition.base import Base

SHOTS = (2, 4, 8, 16)
BRIDGE_STEPS = 200
ARMS: tuple[tuple[str, bool, MethodName], ...] = (
    ("prompts after the bridge", True, "vl_prompt"),
    ("prompts without it", False, "vl_prompt"),
    ("full tuning after the bridge", True, "vifi"),
    ("full tuning without it", False, "vifi"),
)
Cell = tuple[str, int]
"""An arm and K."""


def measure(
    base: Base,
    seeds: int,
    steps: int,
    bridge_steps: int,
    source: Sequence[str],
    novel: Sequence[str],
    shots: Sequence[int] = SHOTS,
    held_out: int = HELD_OUT,
) -> tuple[dict[Cell, list[float]], dict[str, int]]:
    """Top-1 on the novel names by cell and seed, K = 0 for no training; and how many numbers each arm learns."""
    found: dict[Cell, list[float]] = {}
    learned: dict[str, int] = {}
    for seed in range(seeds):
        films = render(base, source, FILMS if bridge_steps > 2 else 2, (seed, 21))
        bridge = fit(base, "vifi", films, bridge_steps, seed).bridge(base)
        train, judged = render(base, novel, max(shots), (seed, 24)), render(base, novel, held_out, (seed, 23))
        for name, start in (("the base", base), ("the bridge", bridge)):
            found.setdefault((name, 0), []).append(zero_shot(start, judged))
        for count in shots:
            for name, bridged, method in ARMS:
                fitted = fit(bridge if bridged else base, method, train, steps, seed, shots=count)
                learned[name] = fitted.trained
                found.setdefault((name, count), []).append(fitted.top1(judged))
                print(f"seed {seed}, K = {count}, {name}: {found[name, count][-1]:.1f} %", flush=True)
    return found, learned


def main(seeds: int = 3, steps: int = 100) -> bool:
    torch.set_num_threads(1)
    found, learned = measure(open_world(), seeds, steps, BRIDGE_STEPS, SOURCE, NOVEL)
    rows = [Row(f"{name}: numbers learned", count, "") for name, count in learned.items()]
    rows += [
        Shares(tuple(values)).row(f"{name}, K = {count}" if count else name) for (name, count), values in found.items()
    ]
    best, other, full, plain = (name for name, _, _ in ARMS)
    for count in SHOTS:
        for rival in (other, full, plain):
            gains = [a - b for a, b in zip(found[best, count], found[rival, count], strict=True)]
            claim = "above 0 (Table 7)" if count <= 4 else ""
            mean = Shares(tuple(gains)).mean
            rows.append(Shares(tuple(gains)).row(f"K = {count}: {best} − {rival}", claim, mean > 0 if claim else None))
    return report("prompting", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=100)
    chosen = options.parse_args()
    sys.exit(not main(chosen.seeds, chosen.steps))
