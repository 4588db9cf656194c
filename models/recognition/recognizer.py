"""A recogniser has two halves that never meet: one turns frames into vectors, the other texts.

CLIP, `lite` and every fine-tuned version are instances of the same class with other towers, so profiles, views, caches
and batching work in the same way for all of them. Scores are made elsewhere (scoring.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.vocabulary import FrameReads
from models.frames.arrays import UInt8Array
from models.image.precision import precision_name
from models.recognition.engine import Engine
from models.recognition.video_encoder import HeadCall, ImageCall, VideoEncoder

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
    by_frame: HeadCall  # frame features [V, T, d] → the vectors whose mean is `head`'s, [V, T, d]
    reads: FrameReads
    most_frames: int | None = None  # of one clip, that the temporal head reads; None: any number
    attention: ImageCall | None  # pixels → float32 [N, h, h]; None for a tower that does not attend to places
    engine: Engine | None = None  # what computes frame features; None: torch, in the caller's thread

    @property
    def precision(self) -> str:
        return self.engine.precision if self.engine else precision_name(self.dtype)

    @property
    def numerics(self) -> tuple[str, str]:
        """What changes features beside weights and frames: number format and engine. Part of the keys of caches."""
        return self.precision, self.engine.digest if self.engine else ""

    def encode_frames(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        """As `VideoEncoder.encode_frames`, by the engine if there is one."""
        if self.engine:
            return self.engine.encode(frames, clip)
        return VideoEncoder.encode_frames(self, frames, clip)

    @torch.inference_mode()
    def vectors_by_frame(self, features: torch.Tensor) -> torch.Tensor:
        """The frames' shares of the video vectors: features float32 [V, T, d] → [V, T, d] on the CPU, whose mean over T
        is what `pool` returns. Raises: ValueError, as `pool`."""
        return self.by_frame(features.to(self.device)).cpu()  # [V, T, d]

    @torch.inference_mode()
    def attend(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        """frames as for `encode_frames` → attention maps float32 [N, h, h] on the CPU (models/image/attention.py).
        Raises: TypeError if the tower does not attend."""
        if self.attention is None:
            raise TypeError(f"{self.name} does not attend to places")
        return self.attention(self.pixels(frames, clip), clip).cpu()  # [N, h, h]

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        """→ features: float32 [n, d] on the CPU, un-normalised; truncated: one bool per text."""
        features, truncated = self.text_tower(texts)
        return features.float().cpu(), truncated  # [n, d]
