"""The closed-form fit of small data: frozen features, heads in a few linear solves, and coordinates for the version."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from core.errors import TrainingFailed
from models.classifier.ensemble import encode_by_label
from models.classifier.rows import Classifier
from models.heads.blend import Coordinates, fit_coordinates, own_scores
from models.heads.judge import Judged, judge_heads
from models.image.tower import Extension, pooled, root
from models.recognition.video_model import VideoModel
from models.text.anchored_encoder import LENGTH, AnchoredTextEncoder
from models.text.encoder import TextEncoder
from models.text.inner import without_anchors
from worker.training.run.base_model import text_rows
from worker.training.run.feeds import no_clip_decoded
from worker.training.run.parts import TrainingRun, new_classifier, new_model


@dataclass(frozen=True, slots=True)
class Frozen:
    """What the frozen base makes of clips, on the CPU: f [n, w], the trunk's output averaged over time; v [n, d], the
    vectors of the videos; their classes, int64 [n]; and each one's place among the clips that it was made of. rooted:
    whether f is the mean of the outputs' roots; seconds: that it took."""

    features: Tensor
    videos: Tensor
    labels: Tensor
    places: tuple[int, ...]
    seconds: float
    rooted: bool = False

    def of(self, classes: Sequence[int]) -> Frozen:
        """The clips of some classes, numbered in this order."""
        new = {label: place for place, label in enumerate(classes)}
        kept = [place for place, label in enumerate(self.labels.tolist()) if label in new]
        labels = torch.tensor([new[label] for label in self.labels[kept].tolist()], dtype=torch.int64)
        places = tuple(self.places[place] for place in kept)
        return replace(self, features=self.features[kept], videos=self.videos[kept], labels=labels, places=places)

    @property
    def present(self) -> list[int]:
        """Classes with a clip."""
        return sorted(set(self.labels.tolist()))


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A fitted model and what it is served with. record: for the card."""

    model: VideoModel
    classifier: Classifier
    encoder: TextEncoder
    record: dict[str, Any]


@torch.no_grad()
def frozen_features(outputs: Iterable[tuple[Tensor, Tensor, list[int]]], model: VideoModel, seconds: float) -> Frozen:
    """outputs: what the trunk makes of clips, in groups in any order: x [B, T, …], labels int64 [B], and the clips'
    places. seconds: that they have taken so far. Raises: TrainingFailed if there is none."""
    began = time.monotonic()
    plain, roots, videos, labels, places = [], [], [], [], []
    rectified = True  # whether no output is negative
    for x, own, where in outputs:
        seen = pooled(x.flatten(0, 1)).view(*x.shape[:2], -1).float()  # [B, T, w]
        rectified = rectified and bool((seen >= 0).all())
        plain.append(seen.mean(dim=1).cpu())  # [B, w]
        roots.append(root(seen).mean(dim=1).cpu())  # [B, w]
        videos.append(plain_vectors(model, x).float().cpu())  # [B, d]
        labels.append(own.cpu())
        places += where
    if not places:
        raise no_clip_decoded(0)
    order = sorted(range(len(places)), key=places.__getitem__)
    return Frozen(
        features=torch.cat(roots if rectified else plain)[order],
        videos=torch.cat(videos)[order],
        labels=torch.cat(labels)[order],
        places=tuple(sorted(places)),
        seconds=seconds + time.monotonic() - began,
        rooted=rectified,
    )


def plain_vectors(model: VideoModel, x: Tensor) -> Tensor:
    """x [B, T, …] → v [B, d], without the coordinates that an earlier fit has added."""
    features: Tensor = model.tower.neck(x.flatten(0, 1))  # [B·T, d]
    pooled_features: Tensor = model.temporal(features.view(*x.shape[:2], -1))  # [B, d]
    return pooled_features


def plain_rows(run: TrainingRun, classes: Sequence[str]) -> Tensor:
    """Unit rows [C, d] of text: those of the run, or those of the base if the run's are not frozen text."""
    if run.config.solver != "closed_form":
        encode, templates = without_anchors(run.base.text_encoder).encode, run.base.profile.templates
        return text_rows(encode, classes, templates, normalise=run.request.normalize_labels)
    encoder = without_anchors(run.text_encoder)
    return new_classifier(run.config, tuple(classes), encoder, encoder.dim, run.device).rows().detach().float().cpu()


def judge_frozen(run: TrainingRun, frozen: Frozen, classes: Sequence[str]) -> Judged:
    """Raises: as `plain_rows`."""
    return judge_heads(frozen.features, own_scores(frozen.videos, plain_rows(run, classes)), frozen.labels)


def fit_closed_form(run: TrainingRun, frozen: Frozen, classes: tuple[str, ...], judged: Judged | None) -> ClosedForm:
    """Fit the base to some classes. The leading process computes, and all use its result. frozen: of these classes,
    numbered in their order; judged: on them, None: as usual. Raises: TrainingFailed."""
    began = time.monotonic()
    present = frozen.present
    if len(present) < 2:
        raise TrainingFailed(
            "Clips of fewer than two classes could be decoded.",
            hint="Upload the dataset again: its report says why a clip cannot be decoded.",
        )
    own = frozen.of(present)
    rows = plain_rows(run, [classes[label] for label in present])
    usual = run.base.logit_scale * float(own_scores(own.videos, rows).std())
    sharpness = (judged and judged.sharpness) or usual
    found = None
    if run.world.leads:
        found = fit_coordinates(own.features, own.videos, own.labels, rows, row_length=LENGTH, sharpness=sharpness)
    found = run.world.gather(found)[0]
    assert found is not None
    model = _extended(run, found, rooted=frozen.rooted)
    encoder = _anchored(run, [classes[label] for label in present])
    classifier = new_classifier(run.config, classes, encoder, encoder.dim, run.device)
    record = {
        "heads": list(found.blend.names),
        "mix": round(found.blend.share, 4),
        "zero_shot_skill": round(found.blend.skill, 4),
        "rooted": frozen.rooted,
        "trained_parameters": {"heads": found.weight.numel() + found.bias.numel()},
        "seconds": round(time.monotonic() - began, 3),
    }
    return ClosedForm(model, classifier, encoder, record)


def _extended(run: TrainingRun, found: Coordinates, *, rooted: bool) -> VideoModel:
    model = new_model(run.base, run.config, run.device)
    extension = Extension(*found.weight.shape, rooted=rooted)
    with torch.no_grad():
        extension.weight.copy_(found.weight)
        extension.bias.copy_(found.bias)
        model.logit_scale.fill_(math.log(found.scale))
    model.tower.extend(extension.to(run.device))
    return model.requires_grad_(False).eval()


def _anchored(run: TrainingRun, classes: Sequence[str]) -> AnchoredTextEncoder:
    encoder = without_anchors(run.text_encoder)
    vectors, _ = encode_by_label(encoder.encode, run.config.inputs.texts(classes))  # of each class [K, d]
    owners = torch.tensor([label for label, of_label in enumerate(vectors) for _ in of_label])
    return AnchoredTextEncoder(encoder, torch.cat(vectors), owners, run.config.inputs.served)
