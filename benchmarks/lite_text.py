"""`text_only` on real clips with `lite`: what the sentence encoder can learn about frozen image vectors.

    python -m benchmarks.lite_text [--steps 100]

The clips are reached through VIREO_CLIPS, as in `small_data`, whose kept features it uses. Protocol and prediction are
in benchmarks/NOTES.md. The textual half of `vl_prompt` cannot run here: its prompts go between the blocks of CLIP's own
text tower.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from benchmarks.clip_features import CLIPS, ClipFeatures, open_features, real_clips
from benchmarks.report import RESULTS, Row, report
from benchmarks.small_data import draw
from benchmarks.trials import CPU, Looked, LookedFeed, Shares
from core.settings import Settings
from core.training_requests import TrainingRequest
from core.vocabulary import MethodName
from models.files.bases import open_base
from models.recognition.base import Base
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import resolve_config
from worker.training.run.order import Order
from worker.training.run.parts import new_classifier, new_model
from worker.training.run.stop import Stop

METHODS: tuple[MethodName, ...] = ("text_only", "text4vis")
SHOTS = {"fight2": (1, 4, 16), "dark6": (1, 4), "actions20": (1, 4)}
SEEDS = (0, 1, 2)


def top1(
    base: Base,
    clips: ClipFeatures,
    method: MethodName,
    fitted: Sequence[int],
    judged: Sequence[int],
    steps: int,
    seed: int,
) -> float:
    """Per cent of the judged clips, after training on the fitted ones; both are places among the features."""
    looked = Looked(clips.x, clips.labels, True)
    batch = min(32, len(fitted))
    asked = TrainingRequest(
        name="lite-text",
        dataset="ds_" + "0" * 24,
        base=base.name,
        method=method,
        solver="gradient",
        tune="projection" if method == "text4vis" else None,
        temporal="mean" if method == "text4vis" else None,
        augment=False,
        epochs=steps / -(-len(fitted) // batch),
        batch_size=batch,
        micro_batch=batch,
        seed=seed,
    )
    config = resolve_config(asked, base, clips.names, len(fitted), len(fitted), CPU)
    torch.manual_seed(seed)
    classifier = new_classifier(config, clips.names, base.text_encoder, base.dim, CPU)
    model = new_model(base, config, CPU)
    order, feed = Order(len(fitted), 1, batch, batch, seed), LookedFeed(looked[fitted])
    fit_encoder(config, model, classifier, config.objective, feed, order, State(), CPU, Stop(), lambda *_: None)
    held_out = looked[judged]
    with torch.no_grad():
        right = (held_out.vectors(model.eval()) @ classifier.rows().T).argmax(dim=1) == held_out.labels
    return 100 * float(right.double().mean())


def measure(name: str, clips: ClipFeatures, base: Base, shots: Sequence[int], steps: int) -> list[Row]:
    rows: list[Row] = []
    for count in shots:
        found: dict[str, list[float]] = {method: [] for method in ("zero-shot", *METHODS)}
        for seed in SEEDS:
            drawn = draw(name, clips, count, seed, 0)
            assert drawn is not None
            fitted, judged = (part.tolist() for part in drawn)
            own = (clips.v[judged] @ clips.rows.T).argmax(dim=1) == clips.labels[judged]
            found["zero-shot"].append(100 * float(own.double().mean()))
            for method in METHODS:
                found[method].append(top1(base, clips, method, fitted, judged, steps, seed))
        shares = {method: Shares(tuple(values)) for method, values in found.items()}
        rows += [share.row(f"{name}, K = {count}: {method}") for method, share in shares.items()]
        print(f"{name}, K = {count}: {found}", flush=True)
    return rows


def main(steps: int = 100) -> bool:
    torch.set_num_threads(1)
    data_dir = RESULTS / "data"
    settings = Settings(data_dir=data_dir, device="cpu", decode_deadline=120.0)
    if not CLIPS.is_dir():
        print(f"skipped: no clips at {CLIPS}")
        return True
    base = open_base("lite", data_dir=data_dir, progress=lambda *_: None)
    rows: list[Row] = []
    for name, shots in SHOTS.items():
        clips = open_features(name, lambda name=name: real_clips(name, base, settings))  # type: ignore[misc]
        rows += measure(name, clips, base, shots, steps)
    return report("lite_text", rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=100)
    sys.exit(not main(options.parse_args().steps))
