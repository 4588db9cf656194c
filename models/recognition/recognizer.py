"""A recogniser has two halves that never meet: one turns frames into vectors, the other texts.

CLIP, `lite` and every fine-tuned version are instances of the same class with other towers, so profiles, views, caches
and batching work in the same way for all of them. Scores are made elsewhere (scoring.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.image.precision import precision_name
from models.recognition.video_encoder import VideoEncoder

TextCall = Callable[[list[str]], tuple[torch.Tensor, list[bool]]]
"""texts → features [n, d] in the joint space, un-normalised, and for each text whether its end was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer(VideoEncoder):
    """A video encoder with a text half. It holds no request state, and several threads may call it."""

    name: str
    text_tower: TextCall  # fp32
    logit_scale: float  # exp(s), the factor on cosines (method §7: the checkpoint's own, not a constant 100)
    digest: str  # of the weights; part of the cache key of a video's features
    text_digest: str  # of text weights and tokenizer; part of the cache key of a classifier row
    nbytes: int  # of parameters and buffers
    classes: tuple[str, ...] = ()  # that a fine-tuned version was trained on
    fixed_rows: torch.Tensor | None = None  # unit rows [C, d]: only `classes` can be asked

    @property
    def precision(self) -> str:
        return precision_name(self.dtype)

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        """→ features: float32 [n, d] on the CPU, un-normalised; truncated: one bool per text."""
        features, truncated = self.text_tower(texts)
        return features.float().cpu(), truncated  # [n, d]
