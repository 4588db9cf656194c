"""Many training runs over the same few clips: the product's loop and parts, with the clips looked at once.

A run here is `worker/training/process/session.py` without decoding, checkpoints and report. Train augmentation is off,
so a clip looks the same in every epoch; where the trunk is frozen as well, its answers are kept instead of pixels.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.report import Row
from core.training_requests import TrainingRequest
from models.classifier.rows import Classifier, build_classifier, logits
from models.fitting.methods import let_move
from models.judging.metrics import top_k
from models.recognition.base import Base
from models.recognition.video_model import VideoModel
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config, resolve_config
from worker.training.run.feeds import MicroBatch
from worker.training.run.order import Order, Pick
from worker.training.run.stop import Stop

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Looked:
    """Clips: pixels [n, T, 3, S, S], or what the trunk made of them [n, T, …]; labels: int64 [n]."""

    x: Tensor
    labels: Tensor
    from_trunk: bool

    def __getitem__(self, places: Sequence[int]) -> Looked:
        return Looked(self.x[list(places)], self.labels[list(places)], self.from_trunk)

    def __len__(self) -> int:
        return len(self.labels)

    @torch.no_grad()
    def vectors(self, model: VideoModel, together: int = 32) -> Tensor:
        """Video vectors [n, d]."""
        see = model.from_trunk if self.from_trunk else model
        return torch.cat([see(part) for part in torch.split(self.x, together)])


class LookedFeed:
    """Micro-batches of them."""

    def __init__(self, clips: Looked) -> None:
        self.from_trunk = clips.from_trunk
        self._clips = clips

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        for picks in plan:
            part = self._clips[[pick.clip for pick in picks]]
            yield MicroBatch(part.x, part.labels, torch.tensor([pick.weight for pick in picks]))


@dataclass(frozen=True, slots=True)
class Shares:
    """Right answers on clips that were not trained on, 0 to 100, by seed."""

    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.by_seed)

    @property
    def std(self) -> float:
        """Of the sample; 0 for one seed."""
        return statistics.stdev(self.by_seed) if len(self.by_seed) > 1 else 0.0

    def row(self, what: str, claim: str = "", held: bool | None = None) -> Row:
        return Row(what, self.mean, "%", claim, held, self.std)


def top1(
    base: Base, request: TrainingRequest, classes: Sequence[str], clips: Looked, available: int, held_out: Looked
) -> float:
    """Train on `clips`, drawn out of so many `available`; the share of `held_out` that is right then, in per cent."""
    torch.manual_seed(request.seed or 0)
    config = resolve_config(request, base, classes, available, len(clips), CPU)
    classifier = fill(base, config, classes, clips)
    model = base.video_model(config.temporal, config.temporal_init)
    let_move(model, config.method, config.tune)
    order = Order(len(clips), config.repeats, config.batch, config.micro, config.seed)
    feed, objective = LookedFeed(clips), config.objective
    fit_encoder(config, model, classifier, objective, feed, order, State(), CPU, Stop(), lambda *_: None)
    return right(held_out, model, classifier.rows())


def fill(base: Base, config: Config, classes: Sequence[str], clips: Looked) -> Classifier:
    features = None
    if config.classifier == "lda":
        features = (clips.vectors(base.video_model("mean").eval()), clips.labels)
    return build_classifier(
        config.classifier,
        labels=classes,
        encoder=base.text_encoder,
        inputs=config.inputs,
        dim=base.dim,
        seed=config.seed,
        features=features,
    )


@torch.no_grad()
def right(held_out: Looked, model: VideoModel, rows: Tensor) -> float:
    """rows: unit [C, d]. Top-1 in per cent."""
    scores = logits(held_out.vectors(model.eval()), rows, model.logit_scale)  # [n, C]
    return 100 * top_k(scores.numpy(), held_out.labels.numpy(), 1)
