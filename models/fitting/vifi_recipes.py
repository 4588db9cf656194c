"""The recipes of ViFi-CLIP, and our own `default` for its methods (method §12)."""

from __future__ import annotations

from models.fitting.recipes import Recipe
from models.frames.augmentation import Augment

VIFI_DEFAULT = Recipe(
    name="default",
    lr=8e-6,
    pretrained_ratio=1.0,  # one group: nothing is new
    weight_decay=0.001,
    decay_all=False,
    epochs=10,
    warmup_epochs=1,
    min_lr_ratio=0.01,
    lr_every=1,
    batch=64,
    min_updates=8,
    grad_clip=1.0,
    max_scale=100.0,
    batch_norms=False,
    precision="auto",
    seed=0,
    templates=None,
    ensemble=None,
    frames=None,
    temporal="mean",
    augment=Augment(area=(0.66**2, 1.0)),
)
