"""A text encoder that knows the classes of a closed-form fit: their rows get the coordinates that it adds to videos.

A label that reads like a trained class gets that class's coordinate, a label that is near in meaning a part of it, and
any other label nothing. So the fit decides among the trained classes, and leaves other labels as the base had them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.text.context_encoder import without_context
from models.text.encoder import TextEncoder
from models.weights.digests import digest

NEARNESS: Final = 0.1  # cosine distance at which a label has lost two thirds of its nearness to a class
LENGTH: Final = 0.2  # of the new coordinates of a trained class's row, whose other coordinates have length 1


class AnchoredTextEncoder:
    """A TextEncoder. anchors: unit vectors [A, d] of the texts of the trained classes; classes: int64 [A], the class of
    each, 0 … C−1; templates: with which the anchors were made, for labels that are read behind a learned context."""

    def __init__(self, encoder: TextEncoder, anchors: Tensor, classes: Tensor, templates: Sequence[str] = ()) -> None:
        """Raises: ValueError if the anchors do not fit the encoder."""
        if anchors.ndim != 2 or anchors.shape[1] != encoder.dim or len(classes) != len(anchors):
            raise ValueError(f"anchors {tuple(anchors.shape)} of {len(classes)} texts are not [A, {encoder.dim}]")
        self.inner = encoder
        self.context_width = without_context(encoder).context_width if templates else None
        self._templates = tuple(templates)
        self.anchors = normalize(anchors.detach().float().cpu(), dim=-1)  # [A, d]
        self.classes = classes.cpu()  # [A]
        count = int(self.classes.max()) + 1
        self.dim = encoder.dim + count
        near = torch.exp((self.anchors.double() @ self.anchors.double().T - 1) / NEARNESS)  # [A, A]
        own = nn.functional.one_hot(self.classes, count).double()  # [A, C]
        self._from_nearness = (torch.linalg.pinv(near, rtol=1e-6, hermitian=True) @ own).float()  # [A, C]
        self.digest = digest("anchored", encoder.digest, self.anchors.numpy().tobytes(), self.classes.numpy().tobytes())

    @property
    def module(self) -> nn.Module:
        """The text tower's weights."""
        return self.inner.module

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, d + C], un-normalised; and for each text whether it was truncated."""
        vectors, truncated = self.inner.encode(texts)
        plain = vectors.detach().float()  # [n, d]
        return _joined(plain, self._own(plain)), truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """The added coordinates are those that a label has without the context, in the templates of the anchors."""
        names = [text.removesuffix(".") for text in texts]  # a context is followed by a name and a full stop
        filled = [template.replace("{}", name) for template in self._templates for name in names]
        vectors = self.inner.encode(filled)[0].detach().float()  # [K · n, d]
        own = self._own(vectors).view(len(self._templates), len(texts), -1).mean(dim=0)  # [n, C]
        return _joined(without_context(self.inner).encode_with_context(texts, context).float(), own)

    def _own(self, plain: Tensor) -> Tensor:
        """Vectors of texts [n, d] → how much of each class's coordinate they get [n, C]."""
        near = torch.exp((normalize(plain, dim=-1).cpu() @ self.anchors.T - 1) / NEARNESS)  # [n, A]
        own: Tensor = near @ self._from_nearness
        return own.to(plain.device)


def _joined(plain: Tensor, own: Tensor) -> Tensor:
    """[n, d] and [n, C] → [n, d + C]."""
    return torch.cat([plain, LENGTH * plain.norm(dim=-1, keepdim=True) * own], dim=-1)
