"""The training methods on the small world: one base, one set of films, one budget, so that only the method differs.

The base is `small-world`, a CLIP that learned 48 names from stills (small_world.py), trained once and kept in
benchmarks/results/data. Films look different: the thing moves, it is smaller, the ground is cluttered. Half of the
names are trained on (`SOURCE`), the others are `NOVEL`. Methods run by the product's own configuration, parts and loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import small_world
from benchmarks.clip_features import small_world_base
from benchmarks.report import RESULTS
from benchmarks.trials import CPU, Looked, LookedFeed
from core.training_requests import TrainingRequest
from core.vocabulary import MethodName
from models.classifier.ensemble import build_rows
from models.classifier.rows import Classifier
from models.files.bases import clip_base
from models.image.pixels import normalised
from models.recognition.base import Base
from models.recognition.video_model import VideoModel
from models.text.clip_encoder import ClipTextEncoder
from models.text.encoder import TextEncoder
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config, resolve_config
from worker.training.run.order import Order
from worker.training.run.parts import new_classifier, new_model
from worker.training.run.stop import Stop

FRAMES = 4
FILMS = 24  # per name to train on
HELD_OUT = 20  # per name
BATCH = 32
TOWER_RATE = 1e-4  # of pretrained weights, in every method; `classifiers` uses the same
NEW_RATE = 1e-3  # of heads and learned rows
_NAMES = [str(name) for name in np.random.default_rng(5).permutation(small_world.NAMES)]
SOURCE, NOVEL = tuple(_NAMES[:24]), tuple(_NAMES[24:])


@dataclass(frozen=True, slots=True)
class Films:
    """Films of some names, in rounds: one of each name, then another of each."""

    names: tuple[str, ...]
    clips: Looked

    def shots(self, count: int) -> Looked:
        """The first `count` of each name."""
        return self.clips[range(count * len(self.names))]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, and the text half that it would be served with."""

    model: VideoModel
    classifier: Classifier
    encoder: TextEncoder
    config: Config

    @property
    def trained(self) -> int:
        """How many numbers were learned."""
        both = (*self.model.parameters_by_role(), *self.classifier.parameters_by_role())
        return sum(parameter.numel() for _, _, parameter in both if parameter.requires_grad)

    def top1(self, films: Films) -> float:
        """Per cent, among the films' own names, which need not be those of the training."""
        if self.classifier.open_labels:
            pairs = [(name, None) for name in films.names]
            rows, _ = build_rows(self.encoder.encode, pairs, self.config.inputs.served, False)
        else:
            rows = self.classifier.rows().detach()
        return share(films, self.model, rows)

    def bridge(self, base: Base) -> Base:
        """What further training can start from: the trained towers as a base."""
        assert isinstance(self.encoder, ClipTextEncoder)
        model: Any = self.encoder.as_trained().module
        model.visual = self.model.tower.visual
        with torch.no_grad():
            model.logit_scale.copy_(self.model.logit_scale)
        return clip_base("bridge", model, base.architecture, base.profile)


@torch.no_grad()
def share(films: Films, model: VideoModel, rows: Tensor) -> float:
    """rows: unit [C, d]. Top-1 in per cent."""
    vectors = films.clips.vectors(model.eval())  # [n, d]
    right = (vectors @ rows.T).argmax(dim=1) == films.clips.labels  # the length of a vector changes no order
    return 100 * float(right.double().mean())


def render(base: Base, names: Sequence[str], count: int, seed: Sequence[int]) -> Films:
    rng = np.random.default_rng(tuple(seed))
    drawn = [small_world.film(rng, name, FRAMES) for _ in range(count) for name in names]  # each [T, S, S, 3]
    frames = torch.from_numpy(np.concatenate(drawn))
    frames_of_all = normalised(frames, base.profile, CPU)  # [n·T, 3, S, S]
    pixels = frames_of_all.view(-1, FRAMES, *frames_of_all.shape[1:])  # [n, T, 3, S, S]
    return Films(tuple(names), Looked(pixels, torch.arange(len(names)).repeat(count), False))


def open_world() -> Base:
    """The trained base, from disk if it was trained before."""
    return small_world_base(RESULTS / "data")


def zero_shot(base: Base, films: Films) -> float:
    rows, _ = build_rows(
        base.text_encoder.encode, [(name, None) for name in films.names], base.profile.templates, False
    )
    return share(films, base.video_model("mean"), rows)


def request(method: MethodName, steps: int, clips: int, seed: int, **changes: Any) -> TrainingRequest:
    """Of so many steps. What is new learns at `NEW_RATE` and prompts at their recipe's rate, towers at `TOWER_RATE`."""
    rate = {"text4vis": NEW_RATE, "vision_only": NEW_RATE, "contrastive": NEW_RATE, "vl_prompt": None}
    batch = min(BATCH, clips)
    asked: dict[str, Any] = {
        "name": "method",
        "dataset": "ds_" + "0" * 24,
        "base": "small-world",
        "method": method,
        "solver": "gradient",
        "epochs": steps / -(-clips // batch),
        "batch_size": batch,
        "micro_batch": batch,
        "learning_rate": rate.get(method, TOWER_RATE),
        "augment": False,
        "seed": seed,
    }
    if method in ("text4vis", "vision_only", "contrastive"):
        asked["temporal"] = "mean"
    return TrainingRequest(**asked | changes)


def fit(
    base: Base, method: MethodName, films: Films, steps: int, seed: int, shots: int | None = None, **changes: Any
) -> Fitted:
    """Train on the films, or on the first `shots` of each name."""
    clips = films.clips if shots is None else films.shots(shots)
    config = resolve_config(
        request(method, steps, len(clips), seed, **changes), base, films.names, len(clips), len(clips), CPU
    )
    torch.manual_seed(seed)
    classifier = new_classifier(config, films.names, base.text_encoder, base.dim, CPU)
    model = new_model(base, config, CPU)
    order = Order(
        len(clips), config.repeats, config.batch, config.micro, config.seed, drop_last=config.recipe.drop_last
    )
    feed = LookedFeed(clips)
    fit_encoder(config, model, classifier, config.objective, feed, order, State(), CPU, Stop(), lambda *_: None)
    return Fitted(model.eval(), classifier, classifier.served_encoder(base.text_encoder), config)
