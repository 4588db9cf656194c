"""A text encoder that puts learned context vectors before every text (CoOp; method §5, paper Table A.4).

A version that was trained with context vectors therefore accepts any labels, like one that was trained with templates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.text.encoder import TextEncoder
from models.weights.digests import digest


class ContextTextEncoder:
    """A TextEncoder. context: [M, context_width of `encoder`], or [D, M, …] for vectors before each of D blocks."""

    context_width: int | None = None  # no second context can be learned

    def __init__(self, encoder: TextEncoder, context: Tensor) -> None:
        """Raises: ValueError if the vectors do not fit the encoder."""
        if context.ndim not in (2, 3) or context.shape[-1] != encoder.context_width:
            raise ValueError(f"context {tuple(context.shape)} is not [M, {encoder.context_width}]")
        self.inner = encoder
        self.context = context.detach().float().cpu()  # [M, w]
        self.dim = encoder.dim
        self.digest = digest("context", encoder.digest, tuple(self.context.shape), self.context.numpy().tobytes())

    @property
    def module(self) -> nn.Module:
        """The text tower's weights. The classifier's state holds the context."""
        return self.inner.module

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, d], un-normalised; and for each text whether it was truncated, given the room that the context
        takes."""
        # in every vocabulary, one word "a" takes the same room as one vector
        _, truncated = self.inner.encode([f"{'a ' * self.context.shape[-2]}{text}" for text in texts])
        parameter = next(self.module.parameters(), self.context)
        return self.inner.encode_with_context(texts, self.context.to(parameter.device)), truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Raises: TypeError, always."""
        raise TypeError(
            f"{len(texts)} texts already have a learned context; a second one {tuple(context.shape)} cannot be added"
        )


def without_context(encoder: TextEncoder) -> TextEncoder:
    """What reads a text without the learned vectors of a `ContextTextEncoder`: prompts take their place."""
    return encoder.inner if isinstance(encoder, ContextTextEncoder) else encoder
