"""What one optimiser step of each method costs, in CPU time, and how many numbers it learns.

    python -m benchmarks.method_cost [--base clip-b32] [--steps 3]

The product's loop on a CLIP with random weights: 2 clips of 4 frames, 100 classes, fp32, one thread. The median of so
many steps, after one that is not counted. Protocol and prediction are in benchmarks/NOTES.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from itertools import pairwise
from typing import Any, get_args

import open_clip
import torch

from benchmarks.method_runs import request
from benchmarks.report import Row, report
from benchmarks.trials import CPU, Looked, LookedFeed
from core.vocabulary import MethodName
from models.files.bases import clip_base
from models.profiles.zoo import ENTRIES
from models.recognition.base import Base
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import resolve_config
from worker.training.run.order import Order
from worker.training.run.parts import new_classifier, new_model
from worker.training.run.stop import Stop

CLIPS, FRAMES, CLASSES = 2, 4, 100
RUNS: tuple[tuple[str, MethodName, dict[str, Any]], ...] = (
    *((name, name, {}) for name in get_args(MethodName)),
    ("contrastive, offline text", "contrastive", {"online_text": False}),
    ("text4vis, T-Trans", "text4vis", {"temporal": "transformer"}),
)


def random_base(name: str) -> Base:
    torch.manual_seed(0)
    entry = ENTRIES[name]
    model = open_clip.create_model(entry.architecture, pretrained=None, load_weights=False)
    return clip_base(entry.name, model, entry.architecture, entry.profile)


def seconds(base: Base, method: MethodName, changes: dict[str, Any], steps: int, classes: int) -> tuple[float, int]:
    """CPU seconds of a step, and how many numbers are learned."""
    size = base.profile.size
    pixels = torch.randn(CLIPS, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(0))
    clips = Looked(pixels, torch.arange(CLIPS), False)
    asked = request(method, steps + 1, CLIPS, 0, **changes)
    names = tuple(f"playing sport number {index}" for index in range(classes))
    config = resolve_config(asked, base, names, CLIPS, CLIPS, CPU)
    classifier = new_classifier(config, names, base.text_encoder, base.dim, CPU)
    model = new_model(base, config, CPU)
    both = (*model.parameters_by_role(), *classifier.parameters_by_role())
    learned = sum(parameter.numel() for _, _, parameter in both if parameter.requires_grad)
    ends: list[float] = []
    order = Order(CLIPS, 1, config.batch, config.micro, 0)
    fit_encoder(
        *(config, model, classifier, config.objective, LookedFeed(clips), order, State(), CPU, Stop()),
        lambda *_: ends.append(time.process_time()),
    )
    return statistics.median(after - before for before, after in pairwise(ends)), learned


def main(name: str = "clip-b32", steps: int = 3) -> bool:
    torch.set_num_threads(1)
    base = random_base(name)
    rows: list[Row] = []
    first = 0.0
    for what, method, changes in RUNS:
        taken, learned = seconds(base, method, changes, steps, CLASSES)
        first = first or taken
        rows.append(Row(f"{what}: one step", taken, "s"))
        rows.append(Row(f"{what}: against text4vis", taken / first, "×"))
        rows.append(Row(f"{what}: numbers learned", learned / 1e6, "M"))
        print(f"{what}: {taken:.2f} s, {learned} numbers", flush=True)
    return report("method_cost", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--base", default="clip-b32")
    options.add_argument("--steps", type=int, default=3)
    chosen = options.parse_args()
    sys.exit(not main(chosen.base, chosen.steps))
