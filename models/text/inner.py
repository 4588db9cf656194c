"""What is inside a text encoder: the tower that reads, below anchors and learned vectors."""

from __future__ import annotations

from torch import Tensor

from models.text.anchored_encoder import AnchoredTextEncoder
from models.text.clip_encoder import ClipTextEncoder
from models.text.context_encoder import ContextTextEncoder, without_context
from models.text.encoder import TextEncoder


def clip_tower(encoder: TextEncoder) -> ClipTextEncoder | None:
    """CLIP's text tower, with which the encoder reads; None if it reads with another."""
    while isinstance(encoder, AnchoredTextEncoder | ContextTextEncoder):
        encoder = encoder.inner
    return encoder if isinstance(encoder, ClipTextEncoder) else None


def learned_vectors(encoder: TextEncoder) -> Tensor | None:
    """The learned vectors that the encoder puts before every text: [D, M, w], or None."""
    while isinstance(encoder, AnchoredTextEncoder):
        encoder = encoder.inner
    if not isinstance(encoder, ContextTextEncoder):
        return None
    return encoder.context.view(-1, *encoder.context.shape[-2:])  # [M, w] → [1, M, w]


def without_anchors(encoder: TextEncoder) -> TextEncoder:
    """What reads labels without the coordinates that a closed-form fit has added."""
    if isinstance(encoder, AnchoredTextEncoder):
        return encoder.inner
    if isinstance(encoder, ContextTextEncoder) and isinstance(encoder.inner, AnchoredTextEncoder):
        return ContextTextEncoder(without_context(encoder.inner.inner), encoder.context)
    return encoder
