"""A text side whose every text is preceded by context vectors that were learned (CoOp; method §5, paper Table A.4).

So a version that was trained with them accepts any labels, like one that reads templates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.text.encoders import TextSide
from models.weights.digests import digest


class ContextText:
    """A TextSide. context: [M, context_width of `texts`]."""

    context_width: int | None = None  # it has its context

    def __init__(self, texts: TextSide, context: Tensor) -> None:
        """Raises: ValueError where the vectors do not fit the text side."""
        if context.ndim != 2 or context.shape[1] != texts.context_width:
            raise ValueError(f"context {tuple(context.shape)} is not [M, {texts.context_width}]")
        self._texts = texts
        self.context = context.detach().float().cpu()  # [M, w]
        self.dim = texts.dim
        self.digest = digest("context", texts.digest, tuple(self.context.shape), self.context.numpy().tobytes())

    @property
    def module(self) -> nn.Module:
        """The text tower's weights; the context is kept by the classifier's state."""
        return self._texts.module

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, d], un-normalised; per text whether its end was not read, the context's room counted."""
        # a word "a" per vector takes the same room in every vocabulary
        _, truncated = self._texts.encode([f"{'a ' * len(self.context)}{text}" for text in texts])
        parameter = next(self.module.parameters(), self.context)
        return self._texts.encode_with_context(texts, self.context.to(parameter.device)), truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Raises: TypeError: there is one context already."""
        raise TypeError(f"{len(texts)} texts have a learned context already; no second {tuple(context.shape)} fits")
