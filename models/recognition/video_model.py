"""A video model as it is trained: an image tower in two halves, a temporal head and CLIP's scale.

The tower's halves are the trunk, which may be frozen and its answers kept, and the neck: the last projection into the
joint space. Batch norms keep their pretrained statistics at all times: a batch of few clips has none worth having.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from core.vocabulary import TemporalKind

NamedParameters = Iterator[tuple[str, nn.Parameter]]

TIME_BLOCKS = "time_blocks."


class ImageTower(nn.Module, ABC):
    """pixels [N, 3, S, S], normalised → features [N, d] in the joint space, un-normalised.

    `clip`: how many consecutive frames make one clip (N is a multiple of it). Only a tower that `mixes_time` looks at
    it. `heads`: the temporal heads that make sense on this tower.
    """

    heads: tuple[TemporalKind, ...] = ("mean", "transformer")
    dim: int  # d

    def __init__(self) -> None:
        super().__init__()
        self.time_blocks = nn.ModuleList()  # one per block that sees its neighbours in time; filled by time_blocks.py
        self.checkpointing = False

    @property
    def mixes_time(self) -> bool:
        return len(self.time_blocks) > 0

    def forward(self, pixels: Tensor, clip: int = 1) -> Tensor:
        return self.neck(self.trunk(pixels, clip))  # [N, d]

    @abstractmethod
    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """[N, 3, S, S] → [N, …], whatever the neck reads."""

    @abstractmethod
    def neck(self, x: Tensor) -> Tensor:
        """[N, …] → [N, d]."""

    @abstractmethod
    def projection_parameters(self) -> NamedParameters:
        """The neck's, under the tower's names."""

    def time_widths(self) -> list[int]:
        """Channels at each place where a convolution over time goes, in the order of `time_blocks`."""
        return []

    def set_grad_checkpointing(self, on: bool) -> None:
        """Recompute each block's activations in the backward pass: less memory, a third more time."""
        self.checkpointing = on

    def serve(self, device: torch.device, dtype: torch.dtype) -> None:
        """Become ready for inference, for good: in place, no gradients, possibly with other modules inside."""
        self.eval().requires_grad_(False)
        self.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> ImageTower:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _step(self, function: Callable[..., Tensor], *inputs: object) -> Tensor:
        """One block, recomputed in the backward pass if that was asked for."""
        if self.checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(function, *inputs, use_reentrant=False)
            return out
        return function(*inputs)


class VideoModel(nn.Module):
    """Clips → video vectors. What W is, and the loss, are not its business."""

    def __init__(self, tower: ImageTower, temporal: nn.Module, kind: TemporalKind, logit_scale: float) -> None:
        """`logit_scale`: exp(s); the parameter of that name is s."""
        super().__init__()
        self.tower = tower
        self.temporal = temporal
        self.kind = kind
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [B, T, 3, S, S], normalised → v [B, d], un-normalised."""
        return self.from_trunk(self.trunk(pixels))

    def trunk(self, pixels: Tensor) -> Tensor:
        """pixels [B, T, 3, S, S] → x [B, T, …]: what can be kept while the trunk is frozen."""
        batch, frames = pixels.shape[:2]
        x = self.tower.trunk(pixels.flatten(0, 1), frames)  # [B·T, …]
        return x.view(batch, frames, *x.shape[1:])  # [B, T, …]

    def from_trunk(self, x: Tensor) -> Tensor:
        """x [B, T, …] → v [B, d]."""
        features: Tensor = self.tower.neck(x.flatten(0, 1))  # [B·T, d]
        features = features.view(*x.shape[:2], -1)  # [B, T, d]
        pooled: Tensor = self.temporal(features)  # [B, d]
        return pooled

    def pretrained_parameters(self) -> NamedParameters:
        """Tower and scale: what the base model brought (the low learning rate, method §7)."""
        for name, parameter in self.tower.named_parameters():
            if not name.startswith(TIME_BLOCKS):
                yield f"tower.{name}", parameter
        yield "logit_scale", self.logit_scale

    def new_parameters(self) -> NamedParameters:
        """Temporal head and convolutions over time: the full learning rate (method §6, TokenT1D)."""
        yield from self.temporal.named_parameters(prefix="temporal")
        yield from self.tower.time_blocks.named_parameters(prefix="tower.time_blocks")
