"""A run's every number, resolved once: what was asked ▸ the recipe ▸ base model and data. It goes into the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from core.vocabulary import TemporalInit, TemporalKind, TunedPart
from models.classifier.inputs import TextInputs, choose_text_inputs
from models.fitting.recipes import RECIPES, Recipe, effective_batch
from models.fitting.shots import shot_repeats
from models.frames.augmentation import Augment
from models.image.precision import has_native_bf16
from models.profiles.prompts import normalise_label
from models.recognition.base import Base

# Fields of a recipe that stand in the card under what became of them.
RESOLVED = (
    *("name", "batch", "seed", "tune", "frames", "augment", "precision"),
    *("text_inputs", "templates", "ensemble", "temporal", "temporal_init"),
)
MICRO_CPU = 2  # clips in one forward pass: a wish to stop is looked at between two of them
MICRO_GPU = 32  # where that is too much for the GPU's memory, the error says what to lower


@dataclass(frozen=True, slots=True)
class Config:
    recipe: Recipe
    classifier: str
    inputs: TextInputs
    temporal: TemporalKind
    temporal_init: TemporalInit
    tune: TunedPart
    frames: int  # T
    lr: float  # of new modules, at its peak
    batch: int  # global
    micro: int  # clips in one forward pass of one process
    repeats: int  # of every clip in an epoch; above 1 for few-shot
    seed: int
    augment: Augment | None
    precision: str  # fp32, or what autocast computes in
    gradient_checkpointing: bool
    cache_frames: bool

    @property
    def epochs(self) -> float:
        return self.recipe.epochs

    def to_dict(self) -> dict[str, Any]:
        """The card's `hyperparameters`."""
        recipe = self.recipe.to_dict()
        for name in RESOLVED:
            recipe.pop(name)
        return recipe | {
            "lr": self.lr,
            "global_batch": self.batch,
            "micro_batch": self.micro,
            "repeats": self.repeats,
            "tune": self.tune,
            "frames": self.frames,
            "precision": self.precision,
            "augment": None if self.augment is None else _plain(self.augment),
            "gradient_checkpointing": self.gradient_checkpointing,
            "cache_frames": self.cache_frames,
        }


def resolve(
    request: TrainingRequest, base: Base, classes: Sequence[str], clips: int, drawn: int, device: torch.device
) -> Config:
    """clips: of the train split; drawn: how many are trained on (fewer for few-shot). Raises: InvalidTraining."""
    recipe = RECIPES[request.recipe].for_base(base.architecture).for_data(clips)
    if request.shots is not None:
        recipe = recipe.few_shot(clips)
    if request.epochs is not None:
        recipe = recipe.with_epochs(request.epochs)
    again = shot_repeats(clips, drawn) if request.shots is not None else 1
    batch = effective_batch(recipe, drawn * again, request.batch_size)
    tune = request.tune or recipe.tune
    augmented = request.augment if request.augment is not None else tune == "tower"
    micro = request.micro_batch or (MICRO_CPU if device.type == "cpu" else MICRO_GPU)
    try:
        inputs = choose_text_inputs(
            request.text_inputs or recipe.text_inputs,
            requested=request.templates,
            usual=recipe.templates or base.profile.templates,
            ensemble=recipe.ensemble or base.profile.templates,
            normalise=request.normalize_labels,
        )
    except ValueError as error:
        raise InvalidTraining(f"{error}.", field="templates") from error
    return Config(
        recipe=recipe,
        classifier=request.classifier,
        inputs=inputs,
        temporal=request.temporal or _head(base, recipe),
        temporal_init=request.temporal_init or recipe.temporal_init,
        tune=tune,
        frames=request.frames or recipe.frames or base.profile.frames,
        lr=request.learning_rate or recipe.lr,
        batch=batch,
        micro=min(micro, batch),
        repeats=again,
        seed=request.seed or 0,
        augment=_augment(recipe, classes) if augmented else None,
        precision=_precision(request.precision, recipe, device),
        gradient_checkpointing=request.gradient_checkpointing,
        cache_frames=request.cache_frames,
    )


def _augment(recipe: Recipe, classes: Sequence[str]) -> Augment:
    """A mirrored clip of a class that is about left or right shows another class, so none is mirrored then."""
    words = {word for label in classes for word in normalise_label(label).lower().split()}
    return replace(recipe.augment, flip=0.0) if words & {"left", "right"} else recipe.augment


def _head(base: Base, recipe: Recipe) -> TemporalKind:
    """A head that was trained already goes on; the recipe decides for a base that has none."""
    return recipe.temporal if base.temporal_kind == "mean" else base.temporal_kind


def _precision(asked: str, recipe: Recipe, device: torch.device) -> str:
    """fp16 needs a GPU; where a recipe names it and there is none, its arithmetic is done in fp32."""
    if device.type == "cpu":
        return "bf16" if asked == "bf16" else "fp32"
    if asked != "auto":
        return asked
    if recipe.precision != "auto":
        return recipe.precision
    return "bf16" if has_native_bf16(device) else "fp16"


def _plain(augment: Augment) -> dict[str, Any]:
    return {name: getattr(augment, name) for name in Augment.__slots__}
