"""The interface of every text encoder: what turns texts into vectors of the joint space.

Encoders are frozen. A method that trains the text tower trains a copy of it (`TrainableTextEncoder`). Their weights
stay in fp32 on every device. Rows are computed once and cached, so a smaller format would gain nothing,
and W is the same in training and in serving. To move an encoder to another device, move its `module`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable

from torch import Tensor, nn

EncodeTexts = Callable[[list[str]], tuple[Tensor, list[bool]]]
"""texts → vectors float32 [n, d], un-normalised, and for each text whether it was truncated."""


class TextEncoder(Protocol):
    @property
    def dim(self) -> int:
        """d, width of the joint space."""

    @property
    def digest(self) -> str:
        """Of weights and tokenizer."""

    @property
    def context_width(self) -> int | None:
        """Width w of a context vector (CoOp); None if this encoder cannot learn a context."""

    @property
    def module(self) -> nn.Module:
        """The weights, frozen."""

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ vectors float32 [n, d] without gradient, un-normalised, on the module's device; and for each text whether
        it was truncated."""

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Texts preceded by the vectors context [M, w], which follow the start token (CoOp) → [n, d], differentiable
        in `context` only. Texts that no longer fit are truncated. Raises: TypeError if `context_width` is None."""


@runtime_checkable
class TrainableTextEncoder(TextEncoder, Protocol):
    """A text encoder whose weights can be trained, all but the table of word embeddings: a few class names would change
    a few words of it, and leave all others where they were (method §12, §16 #12)."""

    def for_training(self) -> Self:
        """A copy whose trained weights require gradients. `encode_with_context` and `encode_trained` of the copy are
        differentiable in them."""

    def encode_trained(self, texts: list[str]) -> Tensor:
        """→ vectors float32 [n, d], un-normalised, differentiable in the weights that require gradients."""

    def as_trained(self) -> Self:
        """A frozen copy, with the digest of the weights as they are now."""
