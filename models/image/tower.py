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
EXTENSION = "extension."  # prefix of the names of what a closed-form fit has added


class Extension(nn.Module):
    """What a closed-form fit adds to the joint space: one coordinate per trained class, a linear function of what the
    trunk gives or of its root, in float32. Rows of trained classes have the same coordinates
    (models/text/anchored_encoder.py)."""

    def __init__(self, width: int, classes: int, *, rooted: bool = False) -> None:
        """It starts as zero. width: w, of the trunk's output; classes: C; rooted: whether the root is taken."""
        super().__init__()
        self.takes_root = rooted
        self.register_buffer("rooted", torch.tensor(rooted))  # for the file; versions of earlier days have none
        self.weight = nn.Parameter(torch.zeros(width, classes))  # [w, C]
        self.bias = nn.Parameter(torch.zeros(classes))  # [C]

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, …], the trunk's output → float32 [N, C]."""
        with torch.autocast(x.device.type, enabled=False):
            seen = pooled(x).float()  # [N, w]
            return (root(seen) if self.takes_root else seen) @ self.weight + self.bias


def pooled(x: Tensor) -> Tensor:
    """The trunk's output as one vector per frame: [N, w], [N, patches, w] or [N, w, h, h] → [N, w]."""
    return x if x.ndim == 2 else x.mean(dim=1) if x.ndim == 3 else x.mean(dim=(2, 3))


def root(x: Tensor) -> Tensor:
    """The square root with the sign of x. What a rectifier gives is spread the more the larger it is, like counts; its
    root is not, so a linear head sees all of it (benchmarks/NOTES.md)."""
    return x.sign() * x.abs().sqrt()


class ImageTower(nn.Module, ABC):
    """pixels [N, 3, S, S], normalised → features [N, d] in the joint space, un-normalised.

    clip: how many consecutive frames make up one clip (N is a multiple of it). Only a tower that `mixes_time` uses it.
    heads: the temporal heads that this tower supports.
    """

    heads: tuple[TemporalKind, ...] = ("mean", "transformer")
    dim: int  # d, with the extension

    def __init__(self) -> None:
        super().__init__()
        self.time_blocks = nn.ModuleList()  # one per block that sees neighbouring frames; time_blocks.py adds them
        self.extension: Extension | None = None
        self.prompts: nn.Parameter | None
        self.register_parameter("prompts", None)  # [D, n, w]: n learned tokens before each of the first D blocks
        self.checkpointing = False
        self.trains_batch_norms = False
        """Whether batch norms normalise by the batch in training and collect its statistics. Otherwise they always use
        their pretrained ones."""

    @property
    def mixes_time(self) -> bool:
        return len(self.time_blocks) > 0

    def forward(self, pixels: Tensor, clip: int = 1) -> Tensor:
        return self.features(self.trunk(pixels, clip))  # [N, d]

    def features(self, x: Tensor) -> Tensor:
        """The trunk's output [N, …] → features [N, d], with the extension's coordinates at their end."""
        found = self.neck(x)
        return found if self.extension is None else torch.cat([found.float(), self.extension(x)], dim=-1)

    def extend(self, extension: Extension | None) -> None:
        """Use this extension instead of the one that the tower may have; None: none at all."""
        if self.extension is not None:
            self.dim -= len(self.extension.bias)
        if extension is not None:
            self.dim += len(extension.bias)
        self.extension = extension

    @abstractmethod
    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """[N, 3, S, S] → [N, …], the neck's input."""

    @abstractmethod
    def neck(self, x: Tensor) -> Tensor:
        """The last projection, without an extension: [N, …] → [N, d]."""

    @abstractmethod
    def projection_parameters(self) -> NamedParameters:
        """The neck's parameters, with the tower's names."""

    @property
    def neck_dtype(self) -> torch.dtype:
        """The number format of the neck, which may be another one than that of the trunk."""
        return next(parameter.dtype for _, parameter in self.projection_parameters())

    @property
    def prompt_places(self) -> tuple[int, int] | None:
        """Number of blocks and width of their tokens; None if this tower has no tokens beside which prompts can be."""
        return None

    @property
    def attends(self) -> bool:
        """Whether a frame's vector comes from one row of attention over the places of the frame."""
        return False

    def attention(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """[N, 3, S, S] → float32 [N, h, h]: how much of each place goes into the frame's vector (attention.py). Raises:
        TypeError for a tower that does not attend."""
        if not self.attends:
            raise TypeError(f"{type(self).__name__} does not attend to places")
        return self._attention(pixels, clip)

    def _attention(self, pixels: Tensor, clip: int) -> Tensor:
        """As `attention`, of a tower that attends."""
        raise NotImplementedError

    def add_prompts(self, prompts: Tensor) -> None:
        """prompts: [D, n, w]. Raises: ValueError if they do not fit."""
        places = self.prompt_places
        if places is None or prompts.ndim != 3 or len(prompts) > places[0] or prompts.shape[2] != places[1]:
            raise ValueError(f"prompts {tuple(prompts.shape)} do not fit an image tower with {places or 'no'} tokens")
        self.prompts = nn.Parameter(prompts)

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
        if self.extension is not None:
            self.extension.float()

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
