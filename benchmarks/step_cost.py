"""The time of one optimiser step: the frozen text classifier against methods that keep the text tower in the loop.

    python -m benchmarks.step_cost [--base b16|b32] [--rounds 2]

The same clips, towers (ViT-B/16 with random weights, fp32) and optimiser; a step is forward, backward and AdamW:

    frozen        W was made before; image tower, mean over T, cross-entropy: the product's parts (method §7)
    contrastive   the text tower reads the prompts of the batch's own clips and learns; logits both ways over features
                  gathered from all ranks (one rank here), KL divergence to softmax(10 · same class) (method §13)
    recomputed    the text tower reads all C classes in every step and learns (ViFi-CLIP's way, method §12)

The claim of the issue: a frozen step costs at most half of one with the text tower in the loop (paper, Table 9: 3.3
against 6.7 V100-days on Kinetics-400, B/16, T = 8). Expected before it was measured, by counting multiplications: an
image of B/16 takes 17.6 G, a text of 77 tokens 3.0 G, and a backward pass twice that. So the text tower adds to a
frozen step

    contrastive   17 % / T, whatever the batch: 2 % at T = 8. The claim cannot hold here: the text tower is too small
    recomputed    3.0 · C / (17.6 · B · T): with 400 classes 26 % at 32 clips of 8 frames, 106 % at 8 clips, 424 % at 2

so it can hold for `recomputed` only, from six classes per frame of a forward pass on. That is where small GPUs and CPUs
are: accumulating a large batch does not help them, because a graph of the text tower serves one backward pass. What is
asked of this script is therefore `recomputed` at 400 classes and 2 clips of 8 frames, a micro-batch of the product on a
CPU. To be quick, clips and classes are both fewer than that here, in the same proportion. Time is the process's CPU
time; OMP_WAIT_POLICY=PASSIVE keeps waiting threads out of it.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize

from benchmarks.report import Row, report
from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier, logits
from models.files.bases import clip_base
from models.fitting.optimizer import build_optimizer
from models.fitting.recipes import RECIPES
from models.profiles.zoo import ENTRIES
from models.recognition.video_model import VideoModel

ENTRY = {"b16": ENTRIES["clip-b16"], "b32": ENTRIES["clip-b32"]}
SOFTNESS = 10.0  # of the contrastive targets
CLASSES = 400
FRAMES = 4  # of a forward pass here, where classes are counted per frame
RECIPE = RECIPES["default"]

Step = Callable[[], None]


class Towers:
    """One image tower and one text tower, and the three ways to take a step with them."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        entry = ENTRY[name]
        model = open_clip.create_model(entry.architecture, pretrained=None, load_weights=False)
        self.base = clip_base(entry.name, model, entry.architecture, entry.profile)
        self.model: VideoModel = self.base.video_model("mean").train()
        self.texts: Any = copy.deepcopy(self.base.text_encoder.module).train().requires_grad_(True)
        self.texts.logit_scale.requires_grad_(False)  # the video model has it
        self.tokenizer = open_clip.get_tokenizer(entry.architecture)
        self.labels = [f"playing sport number {index}" for index in range(CLASSES)]
        frozen = build_classifier(
            "text",
            labels=self.labels[:32],  # reading all 400 takes a while, and what W says changes no step's time
            encoder=self.base.text_encoder,
            inputs=TextInputs(),
            dim=self.base.dim,
            seed=0,
        )
        self.classifier = frozen
        self.rows = frozen.rows().repeat(math.ceil(CLASSES / 32), 1)[:CLASSES]  # [C, d]
        self.image_optimizer = build_optimizer(self.model, frozen, RECIPE)
        self.both_optimizer = build_optimizer(self.model, frozen, RECIPE)
        self.both_optimizer.add_param_group({"params": list(self.texts.parameters()), "name": "text"})

    def frozen(self, pixels: Tensor, targets: Tensor, classes: int) -> Step:
        """pixels: [B, T, 3, S, S]; targets: int64 [B]."""

        def loss() -> Tensor:
            scores = logits(self.model(pixels), self.rows[:classes], self.model.logit_scale)  # [B, C]
            return cross_entropy(scores, targets)

        return lambda: self._step(loss, self.image_optimizer)

    def contrastive(self, pixels: Tensor, targets: Tensor) -> Step:
        same = (targets[:, None] == targets[None, :]).float()  # [B, B]
        wanted = (SOFTNESS * same).softmax(dim=1)  # [B, B]
        tokens = self._prompts([int(target) for target in targets])  # [B, 77]

        def loss() -> Tensor:
            scores = logits(self.model(pixels), self._read(tokens), self.model.logit_scale)  # [B, B]
            ways = (kl_div(log_softmax(way, dim=1), wanted, reduction="batchmean") for way in (scores, scores.T))
            return sum(ways, start=torch.zeros(())) / 2  # the released code's "mean", times the batch, is the same

        return lambda: self._step(loss, self.both_optimizer)

    def recomputed(self, pixels: Tensor, targets: Tensor, classes: int) -> Step:
        tokens = self._prompts(list(range(classes)))  # [C, 77]

        def loss() -> Tensor:
            scores = logits(self.model(pixels), self._read(tokens), self.model.logit_scale)  # [B, C]
            return cross_entropy(scores, targets)

        return lambda: self._step(loss, self.both_optimizer)

    def _prompts(self, classes: list[int]) -> Tensor:
        tokens: Tensor = self.tokenizer([f"a video of a person {self.labels[index]}." for index in classes])
        return tokens  # [n, 77]

    def _read(self, tokens: Tensor) -> Tensor:
        """All 77 positions, as the released code does (the product's shorter way would make these methods cheaper)."""
        read: Callable[[Tensor], Tensor] = self.texts.encode_text
        return normalize(read(tokens), dim=-1)  # [n, 77] → [n, d]

    @staticmethod
    def _step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> None:
        torch.autograd.backward(loss())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def batch(clips: int, frames: int, classes: int) -> tuple[Tensor, Tensor]:
    """Pixels [B, T, 3, S, S] and targets int64 [B]."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(clips, frames, 3, 224, 224, generator=generator)
    return pixels, torch.randint(classes, (clips,), generator=generator)


def seconds(steps: list[Step], rounds: int) -> list[float]:
    """CPU seconds of all threads, medians: what else the machine does counts little, and the steps take turns besides.
    They are the step's time times the number of threads where these do not wait for each other."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, taken in zip(steps, times, strict=True):
            begin = time.process_time()
            step()
            taken.append(time.process_time() - begin)
    return [statistics.median(taken) for taken in times]


def main(name: str = "b16", rounds: int = 2) -> bool:
    towers = Towers(name)
    seconds([towers.frozen(*batch(1, 2, 2), 2), towers.contrastive(*batch(1, 2, 2))], 1)  # states of AdamW are made
    rows: list[Row] = []
    for clips, frames in ((4, 1), (2, 2), (2, 4), (2, 8)):
        data = batch(clips, frames, CLASSES)
        frozen, loop = seconds([towers.frozen(*data, CLASSES), towers.contrastive(*data)], rounds)
        rows += [
            Row(f"{clips} clips, T = {frames}: frozen", frozen, "s"),
            Row(f"{clips} clips, T = {frames}: contrastive", loop, "s"),
            Row(f"T = {frames}: frozen / contrastive", frozen / loop, "×"),
        ]
    for clips in (32, 8, 2):
        classes = round(CLASSES * FRAMES / (clips * 8))
        data = batch(1, FRAMES, classes)
        frozen, loop = seconds([towers.frozen(*data, classes), towers.recomputed(*data, classes)], rounds)
        asked = clips == 2
        rows += [
            Row(f"{classes} classes for {FRAMES} frames: frozen", frozen, "s"),
            Row(f"{classes} classes for {FRAMES} frames: recomputed", loop, "s"),
            Row(
                f"as {CLASSES} classes, {clips} clips of T = 8: frozen / recomputed",
                frozen / loop,
                "×",
                "at most 0.5" if asked else "",
                frozen / loop <= 0.5 if asked else None,
            ),
        ]
    return report(f"step_cost_{name}", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--base", choices=sorted(ENTRY), default="b16")
    options.add_argument("--rounds", type=int, default=2)
    chosen = options.parse_args()
    sys.exit(not main(chosen.base, chosen.rounds))
