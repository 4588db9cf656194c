"""AdamW over two kinds of parameters: what comes pretrained moves slowly, what is new moves fast (method §8, §20 #6).

The text tower is in no group: it is not in the training graph at all (method §0).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from core.vocabulary import TunedPart
from models.classifier.rows import Classifier
from models.fitting.recipes import Recipe
from models.recognition.video_model import VideoModel


def groups(
    model: VideoModel, classifier: Classifier, recipe: Recipe, *, lr: float | None = None, tune: TunedPart = "tower"
) -> list[dict[str, Any]]:
    """Parameter groups `pretrained` and `new`, each with and without decay, of what requires gradients.

    lr: of new modules, at its peak; default: the recipe's. A group's `ratio` is its share of it. Where only the
    projection is tuned, that is a linear probe over fixed features: it can lose nothing, and moves like a new module.
    """
    base = recipe.lr if lr is None else lr
    slow = recipe.pretrained_ratio
    found: dict[tuple[str, float, bool], list[nn.Parameter]] = {}

    def add(role: str, ratio: float, name: str, parameter: nn.Parameter) -> None:
        if parameter.requires_grad:
            decays = recipe.decay_all or (parameter.ndim >= 2 and not name.endswith("logit_scale"))
            found.setdefault((role, ratio, decays), []).append(parameter)

    for name, parameter in model.pretrained_parameters():
        probe = tune == "projection" and not name.endswith("logit_scale")
        add("pretrained", 1.0 if probe else slow, name, parameter)
    for name, parameter in (*model.new_parameters(), *classifier.named_parameters()):
        add("new", 1.0, name, parameter)
    return [
        {
            "params": parameters,
            "lr": base * ratio,
            "weight_decay": recipe.weight_decay if decays else 0.0,
            "name": role,
            "ratio": ratio,
        }
        for (role, ratio, decays), parameters in found.items()
    ]


def build_optimizer(
    model: VideoModel, classifier: Classifier, recipe: Recipe, *, lr: float | None = None, tune: TunedPart = "tower"
) -> torch.optim.AdamW:
    """Raises: ValueError where nothing can be trained."""
    parts = groups(model, classifier, recipe, lr=lr, tune=tune)
    if not parts:
        raise ValueError("nothing is left to train: every parameter is frozen")
    return torch.optim.AdamW(parts, betas=recipe.betas, eps=recipe.eps)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """lr: of new modules; every group gets its share."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["ratio"]


def clamp_scale(model: VideoModel, recipe: Recipe, start: float) -> None:
    """After each step: hold exp(s) at or below the recipe's bound, or where it started if that was above (SigLIP: 117).

    start: exp(s) of the base.
    """
    if recipe.max_scale is not None:
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(max(recipe.max_scale, start)))
