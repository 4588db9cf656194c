"""A video model as it is trained: an image tower in two halves, a temporal head and CLIP's scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.vocabulary import TemporalKind
from models.image.tower import TIME_BLOCKS, ImageTower
from models.recognition.temporal import TemporalHead
from models.weights.roles import RoleParameters


class VideoModel(nn.Module):
    """Clips → video vectors. It knows neither W nor the loss."""

    def __init__(self, tower: ImageTower, temporal: TemporalHead, kind: TemporalKind, logit_scale: float) -> None:
        """logit_scale: exp(s); the parameter of that name is s."""
        super().__init__()
        self.tower = tower
        self.temporal = temporal
        self.kind = kind
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [B, T, 3, S, S], normalised → v [B, d], un-normalised."""
        return self.from_trunk(self.trunk(pixels))

    def trunk(self, pixels: Tensor) -> Tensor:
        """pixels [B, T, 3, S, S] → x [B, T, …]. It can be cached while the trunk is frozen."""
        batch, frames = pixels.shape[:2]
        x = self.tower.trunk(pixels.flatten(0, 1), frames)  # [B·T, …]
        return x.view(batch, frames, *x.shape[1:])  # [B, T, …]

    def from_trunk(self, x: Tensor) -> Tensor:
        """x [B, T, …] → v [B, d]."""
        pooled: Tensor = self.temporal(self.frames_from_trunk(x))  # [B, d]
        return pooled

    def frames_from_trunk(self, x: Tensor) -> Tensor:
        """x [B, T, …] → vectors of frames [B, T, d], un-normalised."""
        features: Tensor = self.tower.features(x.flatten(0, 1))  # [B·T, d]
        return features.view(*x.shape[:2], -1)  # [B, T, d]

    def parameters_by_role(self) -> RoleParameters:
        """The tower and s come from the base model. Temporal head and convolutions over time are new (method §6)."""
        for name, parameter in self.tower.named_parameters():
            if not name.startswith(TIME_BLOCKS):
                yield "prompts" if name == "prompts" else "image_tower", f"tower.{name}", parameter
        yield "scale", "logit_scale", self.logit_scale
        for name, parameter in self.temporal.named_parameters(prefix="temporal"):
            yield "head", name, parameter
        for name, parameter in self.tower.time_blocks.named_parameters(prefix="tower.time_blocks"):
            yield "head", name, parameter
