"""The words that requests and recognisers share: names of heads, text inputs, precisions. Types only, no code.

`models` imports no other file of this room, so that a name that the HTTP contract offers is the name that the recogniser
understands.
"""

from __future__ import annotations

from typing import Literal

TemporalKind = Literal["mean", "transformer", "token_conv", "conv"]
"""Temporal head: TAP, T-Trans, TokenT1D and T1D of the Text4Vis paper (Table 8)."""

TemporalInit = Literal["random", "identity"]
"""How a new temporal head starts. `identity`: as the mean."""

TextInputKind = Literal["name", "template", "templates", "context"]
"""What the text tower reads for a class (paper Table A.4): its name; one template; several, one drawn per step; learned
context vectors before the name (CoOp, M = 4)."""

TunedPart = Literal["tower", "projection"]
"""What of the image tower is trained: all of it, or its last projection only."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]

Aggregate = Literal["features", "probabilities", "logits"]
"""What is averaged over the views of a video (method §9)."""

RecipeName = Literal["default", "text4vis-paper", "text4vis-code"]
