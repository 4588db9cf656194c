"""The ways to fill W (paper Table 6), with everything else the same: random, orthogonal, LDA, text, and learned.

    python -m benchmarks.classifiers [--seeds 3] [--shots 4] [--epochs 30]

The paper's order on Kinetics-400 (B/16): random 59.3, orthogonal 59.4, LDA 80.8, text 81.5. Its reason: rows that say
how classes are related let the tower stay as it was pretrained; rows that say nothing make it arrange its classes anew,
out of the clips alone. For that to show, a dataset needs a base whose pictures and words were learned together, classes
that are related, and a rate and a number of clips at which a tower cannot simply be trained anew. `lite` has another
model's words, which know little of clips that can be rendered here. So: benchmarks/small_world.py, 48 names of coloured
shapes, in films that look unlike the stills that its small CLIP has learned from; 4 films per class to train on, 8 to
judge by. The whole tower is trained by the recipe `default` as it stands (30 epochs, mean over 4 frames), at a rate
that suits weights of this width: the tower moves at a tenth of the rate that it was pretrained at. Seeds draw the
films, the order and the rows; train augmentation is off, so that films are decoded once.

Expected before it was measured: random ≈ orthogonal < LDA ≤ text, as in the paper. `learned` stands beside them as
information: the paper's baseline for vision alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import Row, report
from benchmarks.scenes import encode
from benchmarks.small_world import NAMES, film, pretrain
from benchmarks.trials import CPU, Looked, Shares, right, top1
from core.training_requests import TrainingRequest
from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.files.bases import open_base
from models.image.pixels import normalised
from models.profiles.profile import Profile
from models.recognition.base import Base
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool

KINDS = ("random", "orthogonal", "lda", "text", "learned")
FRAMES = 4
BETWEEN = 3  # frames of a film for each that is looked at
HELD_OUT = 8  # films per class
RATE = 1e-3  # of new modules: the recipe's tower learns at a tenth of it


def main(seeds: int = 3, shots: int = 4, epochs: float = 30) -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        pretrain(Path(folder))
        base = open_base("small-world", data_dir=Path(folder), progress=lambda *_: None)
        found, untrained = compare(base, Path(folder), seeds, shots, epochs)
    random, orthogonal, lda, text, learned = (found[kind] for kind in KINDS)
    noise = max(random.std, orthogonal.std, 1.0)
    apart = abs(random.mean - orthogonal.mean)
    return report(
        "classifiers",
        [
            untrained.row("text, before training"),
            random.row("random"),
            orthogonal.row("orthogonal", "as random, within 2 deviations", apart <= 2 * noise),
            lda.row("lda", "above both", lda.mean > max(random.mean, orthogonal.mean)),
            text.row("text", "at least lda", text.mean >= lda.mean),
            learned.row("learned"),
            Row("chance", 100 / len(NAMES), "%"),
        ],
    )


def compare(base: Base, folder: Path, seeds: int, shots: int, epochs: float) -> tuple[dict[str, Shares], Shares]:
    """Kind of W → held-out films that are right; and those before training."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    before: list[float] = []
    with DecodePool(2, 60.0, 1 << 30, 1 << 20, 60.0) as pool:
        for seed in range(seeds):
            films = render(folder / str(seed), base.profile, pool, seed, shots + HELD_OUT)
            drawn, held_out = films[range(shots * len(NAMES))], films[range(shots * len(NAMES), len(films))]
            inputs = TextInputs("templates", base.profile.templates)
            w = build_classifier("text", labels=NAMES, encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0)
            before.append(right(held_out, base.video_model("mean"), w.rows()))
            for kind in KINDS:
                asked = request(kind, seed, epochs)
                found[kind].append(top1(base, asked, NAMES, drawn, len(drawn), held_out))
                print(f"seed {seed}, {kind}: {found[kind][-1]:.1f} %")
    return {kind: Shares(tuple(shares)) for kind, shares in found.items()}, Shares(tuple(before))


def request(kind: str, seed: int, epochs: float) -> TrainingRequest:
    return TrainingRequest(
        name="classifiers",
        dataset="ds_" + "0" * 24,
        base="small-world",
        classifier=kind,
        tune="tower",
        frames=FRAMES,
        epochs=epochs,
        learning_rate=RATE,
        augment=False,
        micro_batch=32,
        seed=seed,
    )


def render(folder: Path, profile: Profile, pool: DecodePool, seed: int, per_class: int) -> Looked:
    """The first films of all classes, then the second ones, and so on, encoded and decoded again."""
    folder.mkdir()
    rng = np.random.default_rng((seed, 2))
    samples: list[Sample] = []
    for number in range(per_class * len(NAMES)):
        label = number % len(NAMES)
        path = folder / f"{number}.mp4"
        encode(path, film(rng, NAMES[label], FRAMES * BETWEEN))
        samples.append(Sample(path, label))
    batch = next(ClipReader(pool, profile, FRAMES).batches([samples]))
    assert not batch.skipped
    frames = torch.from_numpy(batch.frames)  # uint8 [n, T, S, S, 3]
    pixels = normalised(frames.flatten(0, 1), profile, CPU)  # [n · T, 3, S, S]
    return Looked(pixels.view(*frames.shape[:2], *pixels.shape[1:]), torch.from_numpy(batch.labels), from_trunk=False)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--shots", type=int, default=4)
    options.add_argument("--epochs", type=float, default=30)
    chosen = options.parse_args()
    sys.exit(not main(chosen.seeds, chosen.shots, chosen.epochs))
