"""What training does to names that were never trained: one tower, the other or both; and where frames become a video.

    python -m benchmarks.generalisation [--seeds 3] [--steps 200]

ViFi-CLIP, Table 1 (image-FT, text-FT, both: zero-shot on classes never trained) and Table 5 (fusion of embeddings,
decisions, images) on the small world. Protocol and prediction are in benchmarks/NOTES.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.method_runs import FILMS, HELD_OUT, NOVEL, SOURCE, Films, fit, open_world, render, zero_shot
from benchmarks.report import Row, report
from benchmarks.trials import Shares
from core.vocabulary import MethodName
from models.judging.protocols import harmonic_mean
from models.recognition.base import Base

METHODS: tuple[tuple[str, MethodName, dict[str, Any]], ...] = (
    ("image_only", "image_only", {}),
    ("text_only", "text_only", {}),
    ("vifi", "vifi", {}),
    ("vifi, fusion of decisions", "vifi", {"fusion": "decision"}),
    ("vifi, fusion of images", "vifi", {"fusion": "image"}),
)
Sides = tuple[list[float], list[float]]
"""Top-1 by seed: on trained names, and on names never trained."""


def measure(
    base: Base, seeds: int, steps: int, source: Sequence[str], novel: Sequence[str], films: int, held_out: int
) -> dict[str, Sides]:
    found: dict[str, Sides] = {name: ([], []) for name in ("untrained", *(name for name, _, _ in METHODS))}

    def note(name: str, trained: float, other: float) -> None:
        found[name][0].append(trained)
        found[name][1].append(other)
        print(f"seed {len(found[name][0]) - 1}, {name}: {trained:.1f} / {other:.1f} %", flush=True)

    for seed in range(seeds):
        train = render(base, source, films, (seed, 21))
        judged: tuple[Films, Films] = (
            render(base, source, held_out, (seed, 22)),
            render(base, novel, held_out, (seed, 23)),
        )
        note("untrained", *(zero_shot(base, each) for each in judged))
        for name, method, changes in METHODS:
            fitted = fit(base, method, train, steps, seed, **changes)
            note(name, *(fitted.top1(each) for each in judged))
    return found


def main(seeds: int = 3, steps: int = 200) -> bool:
    torch.set_num_threads(1)
    found = measure(open_world(), seeds, steps, SOURCE, NOVEL, FILMS, HELD_OUT)
    novel = {name: Shares(tuple(sides[1])) for name, sides in found.items()}
    rows: list[Row] = []
    for name, (trained, other) in found.items():
        means = [harmonic_mean(*pair) for pair in zip(trained, other, strict=True)]
        rows.append(Shares(tuple(trained)).row(f"{name}: trained names"))
        rows.append(Shares(tuple(other)).row(f"{name}: names never trained"))
        rows.append(Shares(tuple(means)).row(f"{name}: harmonic mean"))
    both = novel["vifi"].mean
    alone = max(novel["image_only"].mean, novel["text_only"].mean)
    rows.append(Row("vifi − the better of both towers alone", both - alone, "pt", "above 0 (Table 1)", both > alone))
    decision, image = (novel[f"vifi, fusion of {what}"].mean for what in ("decisions", "images"))
    rows.append(Row("embeddings − decisions", both - decision, "pt", "above 0 (Table 5)", both > decision))
    rows.append(Row("decisions − images", decision - image, "pt", "above 0 (Table 5)", decision > image))
    return report("generalisation", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=200)
    chosen = options.parse_args()
    sys.exit(not main(chosen.seeds, chosen.steps))
