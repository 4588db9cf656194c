"""AdamW over the parameters that move, each at the rate that the recipe gives to its role (method §8, §20 #6)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from core.vocabulary import TunedPart
from models.classifier.rows import Classifier
from models.fitting.recipes import Recipe
from models.recognition.video_model import VideoModel
from models.weights.roles import PRETRAINED

_FUSED = {"cpu", "cuda"}  # devices on which torch has the fused step


def parameter_groups(
    model: VideoModel,
    classifier: Classifier,
    recipe: Recipe,
    *,
    lr: float | None = None,
    tune: TunedPart | None = "tower",
) -> list[dict[str, Any]]:
    """The parameters that require gradients, in the groups `pretrained` and `new`, each with and without weight decay.

    lr: the peak rate of new modules; default: the recipe's. A group's `ratio` is its share of that rate.
    """
    base = recipe.lr if lr is None else lr
    rates = recipe.rates(tune)
    found: dict[tuple[str, float, bool], list[nn.Parameter]] = {}
    for role, _, parameter in (*model.parameters_by_role(), *classifier.parameters_by_role()):
        if parameter.requires_grad:
            decays = recipe.decay_all or parameter.ndim >= 2
            kind = "pretrained" if role in PRETRAINED else "new"
            found.setdefault((kind, rates[role], decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": base * ratio,
            "weight_decay": recipe.weight_decay if decays else 0.0,
            "name": kind,
            "ratio": ratio,
        }
        for (kind, ratio, decays), parameters in found.items()
    ]


def build_optimizer(
    model: VideoModel,
    classifier: Classifier,
    recipe: Recipe,
    *,
    lr: float | None = None,
    tune: TunedPart | None = "tower",
) -> torch.optim.AdamW:
    """Raises: ValueError if nothing can be trained."""
    groups = parameter_groups(model, classifier, recipe, lr=lr, tune=tune)
    if not groups:
        raise ValueError("there is nothing to train: every parameter is frozen")
    # Fused: one pass over the parameters instead of several.
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(groups, betas=recipe.betas, eps=recipe.eps, fused=devices <= _FUSED or None)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """lr: the rate of new modules; every group gets its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["ratio"]


def clamp_scale(model: VideoModel, recipe: Recipe, start: float) -> None:
    """Keep exp(s) at or below the recipe's bound; call this after each step. If the base started above the bound
    (SigLIP: 117), that start is the bound.

    start: exp(s) of the base.
    """
    if recipe.max_scale is not None:
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(max(recipe.max_scale, start)))
