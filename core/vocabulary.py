"""The names that requests and recognisers share: temporal heads, text inputs, precisions, and which go together.

This is the only file of `core` that `models` imports, so a name in the HTTP contract is the name that a recogniser
understands.
"""

from __future__ import annotations

from typing import Final, Literal

TemporalKind = Literal["mean", "transformer", "token_conv", "conv"]
"""Temporal head: TAP, T-Trans, TokenT1D and T1D of the Text4Vis paper (Table 8)."""

TemporalInit = Literal["random", "identity", "shift"]
"""How a new temporal head starts. `identity`: as the mean; `shift`: as TSM's shift of channels by one frame."""

HEAD_INITS: Final[dict[TemporalKind, tuple[TemporalInit, ...]]] = {
    "mean": (),
    "transformer": ("random", "identity"),
    "token_conv": ("shift", "identity"),
    "conv": ("identity",),
}
"""How each temporal head can start."""

TextInputKind = Literal["name", "template", "templates", "context"]
"""What the text tower reads for a class (paper Table A.4): its name; one template; several templates, one drawn per
step; learned context vectors before the name (CoOp, M = 4)."""

TunedPart = Literal["tower", "projection"]
"""Which part of the image tower is trained: all of it, or only its last projection."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""The number format of the image tower. `auto`: bf16 if the hardware computes it natively, else fp32."""

Aggregate = Literal["features", "probabilities", "logits"]
"""What is averaged over the views of a video (method §9)."""

MethodName = Literal["text4vis"]
"""A training method of `models.fitting.methods`."""

RecipeName = Literal["default", "text4vis", "text4vis-2023"]
"""A training recipe of `models.fitting.recipes`."""
