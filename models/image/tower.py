"""The interface of every image tower: a trunk and a neck, and the places for convolutions over time.

The trunk may be frozen and its output kept. The neck is the last projection into the joint space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.vocabulary import TemporalKind
from models.image.batch_norms import batch_norms, collecting_paused

NamedParameters = Iterator[tuple[str, nn.Parameter]]

TIME_BLOCKS = "time_blocks."  # prefix of the names of a tower's convolutions over time


class ImageTower(nn.Module, ABC):
    """pixels [N, 3, S, S], normalised → features [N, d] in the joint space, un-normalised.

    clip: how many consecutive frames make up one clip (N is a multiple of it). Only a tower that `mixes_time` uses it.
    heads: the temporal heads that this tower supports.
    """

    heads: tuple[TemporalKind, ...] = ("mean", "transformer")
    dim: int  # d

    def __init__(self) -> None:
        super().__init__()
        self.time_blocks = nn.ModuleList()  # one per block that sees neighbouring frames; time_blocks.py adds them
        self.checkpointing = False
        self.trains_batch_norms = False
        """Whether batch norms normalise by the batch in training and collect its statistics. Otherwise they always use
        their pretrained ones."""

    @property
    def mixes_time(self) -> bool:
        return len(self.time_blocks) > 0

    def forward(self, pixels: Tensor, clip: int = 1) -> Tensor:
        return self.neck(self.trunk(pixels, clip))  # [N, d]

    @abstractmethod
    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """[N, 3, S, S] → [N, …], the neck's input."""

    @abstractmethod
    def neck(self, x: Tensor) -> Tensor:
        """[N, …] → [N, d]."""

    @abstractmethod
    def projection_parameters(self) -> NamedParameters:
        """The neck's parameters, with the tower's names."""

    def time_widths(self) -> list[int]:
        """Channels at each place of a convolution over time, in the order of `time_blocks`."""
        return []

    def set_grad_checkpointing(self, on: bool) -> None:
        """Recompute each block's activations in the backward pass: less memory, a third more time."""
        self.checkpointing = on

    def serve(self, device: torch.device, dtype: torch.dtype) -> None:
        """Prepare for inference, in place and for good: no gradients, and some modules may be replaced."""
        self.eval().requires_grad_(False)
        self.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> ImageTower:
        super().train(mode)
        if not self.trains_batch_norms:
            for norm in batch_norms(self):
                norm.eval()
        return self

    def _step(self, function: Callable[..., Tensor], *inputs: object) -> Tensor:
        """Run one block; with `checkpointing`, it is recomputed in the backward pass."""
        if self.checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(function, *inputs, use_reentrant=False, context_fn=self._twice)
            return out
        return function(*inputs)

    def _twice(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The contexts of a block's first and second computation."""
        return nullcontext(), collecting_paused(self)
