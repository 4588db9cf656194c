"""What an engine is: the part that computes frame features on a device, and how its device is best used.

A recogniser works without one: then torch runs its image tower as it is. Engines are in `models.engines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from core.vocabulary import EngineName
from models.frames.arrays import UInt8Array


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How the forward passes of one tower share a device: `lanes` of them at the same time, each on `threads` threads
    (unused on a GPU) and with at most `batch` frames."""

    lanes: int
    threads: int
    batch: int

    def __post_init__(self) -> None:
        if min(self.lanes, self.threads, self.batch) < 1:
            raise ValueError(f"lanes, threads and batch are at least 1: {self}")


class Engine(Protocol):
    """It holds no request state, and as many threads as its plan has lanes may call it."""

    @property
    def name(self) -> EngineName: ...

    @property
    def precision(self) -> str:
        """The number format of its large products: `fp32`, `bf16`, `fp16` or `int8`."""

    @property
    def digest(self) -> str:
        """Of everything that changes its results, beside the model's own digest. Part of the key of cached features;
        empty if the results are those of torch in the same precision."""

    @property
    def plan(self) -> LanePlan: ...

    @property
    def nbytes(self) -> int:
        """Of the weights that it holds beside those of the recogniser."""

    def encode(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        """frames: uint8 [N, S, S, 3], sRGB, clip after clip → features: float32 [N, d] on the CPU, un-normalised.
        `clip`: number of frames in one clip."""
        ...

    def warm_up(self) -> None:
        """Do once what a first forward pass would wait for."""
