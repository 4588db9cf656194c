"""A recogniser: two halves that never meet. Frames become vectors, texts become vectors; scores are made elsewhere.

CLIP, `lite` and every fine-tuned version are the same class with other towers, so everything downstream (profiles,
views, caches, batching) is one road. A recogniser holds no request state and may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.image.pixels import normalised
from models.image.precision import precision_name
from models.profiles.profile import Profile

ImageCall = Callable[[torch.Tensor, int], torch.Tensor]
"""pixels [N, 3, S, S], normalised, in the recogniser's device and dtype, and the frames of one clip → features [N, d]
in the joint space."""

TextCall = Callable[[list[str]], tuple[torch.Tensor, list[bool]]]
"""texts → features [n, d] in the joint space, un-normalised, and for each text whether its end was not read."""

HeadCall = Callable[[torch.Tensor], torch.Tensor]
"""Frame features float32 [V, T, d] on the recogniser's device → video vectors [V, d]."""


@dataclass(frozen=True, slots=True)
class Recognizer:
    name: str
    image_tower: ImageCall
    text_tower: TextCall
    profile: Profile
    dim: int  # d, width of the joint space
    logit_scale: float  # exp(s), the factor on cosines (method §7: the checkpoint's own, not a constant 100)
    digest: str  # of the weights; enters every address of a video's vectors
    text_digest: str  # of text weights and tokenizer; enters every address of a classifier row
    device: torch.device
    dtype: torch.dtype  # of the image tower; texts and the temporal head are fp32
    head: HeadCall
    nbytes: int  # of parameters and buffers
    mixes_time: bool = False  # the tower looks at neighbouring frames: a forward pass must hold whole clips
    classes: tuple[str, ...] = ()  # that a fine-tuned version was trained on
    fixed_rows: torch.Tensor | None = None  # unit rows [C, d]: only `classes` can be asked

    @property
    def precision(self) -> str:
        return precision_name(self.dtype)

    @torch.inference_mode()
    def encode_frames(self, frames: NDArray[np.uint8], clip: int = 1) -> torch.Tensor:
        """frames: uint8 [N, S, S, 3], sRGB, clip after clip → features: float32 [N, d] on the CPU, un-normalised
        (method §18: average before normalising). `clip`: frames of one clip; it matters where the tower mixes time.
        Raises: ValueError where N is no multiple of it."""
        if len(frames) % clip:
            raise ValueError(f"{len(frames)} frames are not whole clips of {clip}")
        pixels = normalised(torch.from_numpy(frames), self.profile, self.device)  # [N, 3, S, S]
        return self.image_tower(pixels.to(self.dtype), clip).float().cpu()  # [N, d]

    @torch.inference_mode()
    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """The temporal head: features float32 [V, T, d] → [V, d] on the CPU. Raises: ValueError for more frames than
        it reads."""
        return self.head(features.to(self.device)).cpu()  # [V, d]

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        """→ features: float32 [n, d] on the CPU, un-normalised; truncated: one bool per text."""
        features, truncated = self.text_tower(texts)
        return features.float().cpu(), truncated  # [n, d]
