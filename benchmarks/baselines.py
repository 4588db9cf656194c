"""A frozen text classifier against contrast within the batch and against no text at all, with the same budget.

    python -m benchmarks.baselines [--seeds 3] [--steps 200]

Text4Vis, Table 9 (contrastive) and Table 7 (vision-only) on the small world. Protocol and prediction are in
benchmarks/NOTES.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.method_runs import FILMS, HELD_OUT, NOVEL, SOURCE, fit, open_world, render, zero_shot
from benchmarks.report import Row, report
from benchmarks.trials import Shares
from core.vocabulary import MethodName
from models.recognition.base import Base

SHOTS = (4, FILMS)
METHODS: tuple[tuple[str, MethodName, dict[str, Any]], ...] = (
    ("text4vis", "text4vis", {}),
    ("contrastive, online text", "contrastive", {}),
    ("contrastive, offline text", "contrastive", {"online_text": False}),
    ("vision_only", "vision_only", {}),
)


def measure(
    base: Base, seeds: int, steps: int, source: Sequence[str], novel: Sequence[str], shots: Sequence[int], held_out: int
) -> dict[tuple[str, int], tuple[list[float], list[float]]]:
    """Method and K → top-1 by seed on trained names, and on names never trained (none for closed labels)."""
    found: dict[tuple[str, int], tuple[list[float], list[float]]] = {}
    for seed in range(seeds):
        train = render(base, source, max(shots), (seed, 31))
        judged, other = render(base, source, held_out, (seed, 32)), render(base, novel, held_out, (seed, 33))
        for into, films in zip(found.setdefault(("untrained", 0), ([], [])), (judged, other), strict=True):
            into.append(zero_shot(base, films))
        for count in shots:
            for name, method, changes in METHODS:
                fitted = fit(base, method, train, steps, seed, shots=count, **changes)
                trained, unseen = found.setdefault((name, count), ([], []))
                trained.append(fitted.top1(judged))
                if fitted.classifier.open_labels:
                    unseen.append(fitted.top1(other))
                print(f"seed {seed}, K = {count}, {name}: {trained[-1]:.1f} / {unseen[-1:]} %", flush=True)
    return found


def main(seeds: int = 3, steps: int = 200) -> bool:
    torch.set_num_threads(1)
    found = measure(open_world(), seeds, steps, SOURCE, NOVEL, SHOTS, HELD_OUT)
    rows: list[Row] = []
    for (name, count), (trained, unseen) in found.items():
        what = f"{name}, K = {count}" if count else name
        rows.append(Shares(tuple(trained)).row(f"{what}: trained names"))
        if unseen:
            rows.append(Shares(tuple(unseen)).row(f"{what}: names never trained"))
    for count in SHOTS:
        own = found["text4vis", count][0]
        for rival, claim, least in (
            ("contrastive, online text", "at least −1 (Table 9)", -1.0),
            ("vision_only", "above 0 (Table 7)", 0.0),
        ):
            gains = Shares(tuple(a - b for a, b in zip(own, found[rival, count][0], strict=True)))
            rows.append(gains.row(f"K = {count}: text4vis − {rival}", claim, gains.mean > least))
    return report("baselines", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=200)
    chosen = options.parse_args()
    sys.exit(not main(chosen.seeds, chosen.steps))
