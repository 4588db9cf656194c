"""What the optimiser's part of a step costs: AdamW as torch takes it by default, and fused.

    python -m benchmarks.step_parts [--rounds 7]

The parameters are those of ViT-B/16's image tower, with gradients of noise; one thread, CPU time, the two take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import open_clip
import torch

from benchmarks.report import Row, report
from models.fitting.recipes import RECIPES
from models.profiles.zoo import ENTRIES


def main(rounds: int = 7) -> bool:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tower = open_clip.create_model(ENTRIES["clip-b16"].architecture, pretrained=None, load_weights=False).visual
    recipe = RECIPES["default"]
    parameters = [parameter.detach().requires_grad_() for parameter in tower.parameters()]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    kinds = {
        name: torch.optim.AdamW(parameters, betas=recipe.betas, eps=recipe.eps, lr=1e-9, fused=fused)
        for name, fused in (("default", None), ("fused", True))
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name, optimizer in kinds.items():
            began = time.process_time()
            optimizer.step()
            if number:  # the first step makes the moments
                taken[name].append(time.process_time() - began)
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    rows = [Row(f"AdamW, {name}", value, "s") for name, value in seconds.items()]
    rows.append(Row("numbers", sum(parameter.numel() for parameter in parameters) / 1e6, "M"))
    rows.append(Row("fused / default", seconds["fused"] / seconds["default"], "×"))
    return report("step_parts", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    sys.exit(not main(options.parse_args().rounds))
