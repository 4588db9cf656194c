"""What a fit to a few clips is worth: heads on frozen features, and yesterday's and today's `default`.

    python -m benchmarks.small_data [DATASET…]

The protocol, the candidates that lost, and the predictions are in benchmarks/NOTES.md. Features are extracted once and
kept in benchmarks/results/features; the rest takes seconds on one thread, but for yesterday's `default`, which is
trained by the product's loop (on `lite`; its trials are the first of each seed).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.clip_features import ClipFeatures, all_features, small_world_base
from benchmarks.report import RESULTS, Row, report
from benchmarks.trials import Looked, top1
from core.training_requests import TrainingRequest
from models.files.bases import open_base
from models.heads.blend import Blend, fit_coordinates, own_scores
from models.heads.linear import HEADS, Span, usable_heads
from models.image.tower import root
from models.judging.protocols import harmonic_mean
from models.recognition.base import Base
from models.text.anchored_encoder import LENGTH, AnchoredTextEncoder

SHOTS = (1, 2, 4, 8, 16, 40)
SEEDS, DRAWS = (0, 1, 2), 5
HELD_OUT = {"fight2": 20, "dark6": 6}  # clips per class; 20 of the rendered ones
Draw = tuple[Tensor, Tensor]
"""Indices of the clips to fit on and of those to judge."""


def draw(name: str, clips: ClipFeatures, shots: int, seed: int, number: int) -> Draw | None:
    """None if a class has too few clips."""
    rng = np.random.default_rng((seed, number, 11))
    labels, piece = clips.labels.numpy(), clips.piece.numpy()
    fitted: list[int] = []
    judged: list[int] = []
    for label in range(len(clips.names) - len(clips.novel)):
        own = rng.permutation(np.flatnonzero(labels == label))
        held = HELD_OUT.get(name, 20)
        first, rest = (own[piece[own] < 4], own[piece[own] >= 4]) if piece.max() else (own[held:], own[:held])
        if len(first) < shots:
            return None
        fitted += first[:shots].tolist()
        judged += rest.tolist()
    return torch.tensor(fitted), torch.tensor(judged)


def accuracies(clips: ClipFeatures, fitted: Tensor, judged: Tensor) -> dict[str, float]:
    """Top-1 of each way to decide, in per cent. `harmonic`: change of the harmonic mean of trained and novel classes,
    both scored by the vectors and rows that a version would be served with."""
    classes = len(clips.names) - len(clips.novel)
    raw, labels = clips.x.mean(dim=1), clips.labels
    features = root(clips.x).mean(dim=1) if bool((clips.x >= 0).all()) else raw
    of_heads, x = (Span.of(each[fitted]).project(each) for each in (raw, features))
    own = own_scores(clips.v, clips.rows[:classes])

    def share(scores: Tensor) -> float:
        return 100 * float((scores.argmax(dim=1) == labels[judged]).double().mean())

    found = {"zero-shot": share(own[judged])}
    for head in usable_heads(labels[fitted]):
        found[head] = share(HEADS[head](of_heads[fitted], labels[fitted], classes)(of_heads[judged]))
    blend = Blend.fit(x[fitted], own[fitted], labels[fitted])
    found["today"] = share(blend(x[judged], own[judged]))
    if clips.novel:
        found |= _harmonic(clips, features, fitted, found)
    return found


class _Rows:
    """The text half of kept features: texts are the numbers of classes."""

    context_width = None
    digest = "rows"
    module = nn.Identity()

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.dim = rows, rows.shape[1]

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        return self.rows[[int(text) for text in texts]], [False] * len(texts)

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        raise TypeError(texts, context)


def _harmonic(clips: ClipFeatures, features: Tensor, fitted: Tensor, found: dict[str, float]) -> dict[str, float]:
    classes = len(clips.names) - len(clips.novel)
    rows, chosen = clips.rows[:classes], torch.tensor(clips.novel)
    fit = fit_coordinates(
        features[fitted], clips.v[fitted], clips.labels[fitted], rows, row_length=LENGTH, sharpness=1.0
    )
    encoder = AnchoredTextEncoder(_Rows(clips.rows), rows, torch.arange(classes))
    asked = normalize(encoder.encode([str(label) for label in clips.novel])[0], dim=1)  # [K, d + C]
    novel = torch.isin(clips.labels, chosen)
    after = torch.cat([clips.v, features @ fit.weight + fit.bias], dim=1)[novel] @ asked.T
    before = clips.v[novel] @ clips.rows[chosen].T
    was, now = (
        100 * float((chosen[scores.argmax(dim=1)] == clips.labels[novel]).double().mean()) for scores in (before, after)
    )
    change = harmonic_mean(found["today"], now) - harmonic_mean(found["zero-shot"], was)
    return {"harmonic": change, "novel": now - was}


def yesterday(base: Base, clips: ClipFeatures, fitted: Tensor, judged: Tensor, seed: int) -> float:
    """The training loop of `default` over precomputed outputs of the trunk."""
    classes = clips.names[: len(clips.names) - len(clips.novel)]
    asked = TrainingRequest(
        name="yesterday", dataset="ds_" + "0" * 24, base=base.name, solver="gradient", tune="projection", seed=seed
    )
    looked = Looked(clips.x, clips.labels, True)
    return top1(base, asked, classes, looked[fitted.tolist()], len(fitted), looked[judged.tolist()])


def measure(name: str, clips: ClipFeatures, base: Callable[[], Base]) -> list[Row]:
    rows: list[Row] = []
    for shots in SHOTS:
        if draw(name, clips, shots, 0, 0) is None:
            break
        began, cpu = time.monotonic(), time.process_time()
        trials: list[dict[str, float]] = []
        for seed in SEEDS:
            for number in range(DRAWS):
                fitted, judged = draw(name, clips, shots, seed, number) or (torch.empty(0), torch.empty(0))
                trials.append(accuracies(clips, fitted, judged))
        wall, used = (time.monotonic() - began) / len(trials), (time.process_time() - cpu) / len(trials)
        where = f"{name}, K = {shots}"
        rows += _heads(where, trials)
        rows += [Row(f"{where}: all heads, one trial", wall, "s"), Row(f"{where}: all heads, CPU", used, "s")]
        began, cpu = time.monotonic(), time.process_time()
        old = [
            yesterday(base(), clips, *(draw(name, clips, shots, seed, 0) or (torch.empty(0), torch.empty(0))), seed)
            for seed in SEEDS
        ]
        rows.append(_mean(f"{where}: yesterday's default", old))
        gains = [trials[DRAWS * place]["today"] - value for place, value in enumerate(old)]
        rows.append(_mean(f"{where}: today − yesterday, paired", gains))
        print(f"{where} {time.process_time():.0f} CPU s", flush=True)
        rows.append(Row(f"{where}: yesterday, CPU of one training", (time.process_time() - cpu) / len(old), "s"))
    return rows


def _heads(where: str, trials: Sequence[dict[str, float]]) -> list[Row]:
    names = [name for name in trials[0] if name not in ("harmonic", "novel")]
    rows = [_mean(f"{where}: {name}", [trial[name] for trial in trials]) for name in names]
    best = max((name for name in names if name in HEADS), key=lambda name: np.mean([trial[name] for trial in trials]))
    for other, claim in ((best, "at least −1 standard error"), ("zero-shot", "at least −1 standard error")):
        gain = _mean(f"{where}: today − {other}, paired", [trial["today"] - trial[other] for trial in trials])
        rows.append(Row(gain.what, gain.value, "pt", claim, gain.value >= -(gain.spread or 0.0), gain.spread))
    if "harmonic" in trials[0]:
        gain = _mean(f"{where}: harmonic mean, change", [trial["harmonic"] for trial in trials])
        rows.append(Row(gain.what, gain.value, "pt", "not below 0", gain.value >= -(gain.spread or 0.0), gain.spread))
        rows.append(_mean(f"{where}: novel classes, change", [trial["novel"] for trial in trials]))
    return rows


def _mean(what: str, values: Sequence[float]) -> Row:
    """The spread is the standard error over trials."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Row(what, float(np.mean(values)), "%", spread=error)


def main(names: Sequence[str] = ()) -> bool:
    torch.set_num_threads(1)
    data_dir = RESULTS / "data"
    lite = open_base("lite", data_dir=data_dir, progress=lambda *_: None)
    world = small_world_base(data_dir)
    rows: list[Row] = []
    for name, clips in all_features().items():
        if not names or name in names:
            rows += measure(name, clips, lambda name=name: world if name == "world" else lite)  # type: ignore[misc]
    return report("small_data", rows)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
