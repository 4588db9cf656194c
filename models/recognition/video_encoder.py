"""The one road from the frames of clips to video vectors. Serving, evaluation and validation all take it.

    frames uint8 [V, T, S, S, 3]  →  frame features [V, T, d]  →  video vectors [V, d]

V clips of T frames each: the views of one video, or clips of several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.frames.arrays import UInt8Array
from models.image.pixels import normalised
from models.profiles.profile import Profile

ImageCall = Callable[[torch.Tensor, int], torch.Tensor]
"""Pixels [N, 3, S, S], normalised, in the encoder's device and dtype, and the number of frames in one clip → features
[N, d] in the joint space."""

HeadCall = Callable[[torch.Tensor], torch.Tensor]
"""Frame features float32 [V, T, d] on the encoder's device → video vectors [V, d]."""

FrameCall = Callable[[UInt8Array, int], torch.Tensor]
"""Frames uint8 [N, S, S, 3], clip after clip, and the number of frames in one clip → features float32 [N, d]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEncoder:
    """Image tower and temporal head. It holds no request state, and several threads may call it."""

    image_tower: ImageCall
    head: HeadCall
    profile: Profile
    dim: int  # d, width of the joint space
    device: torch.device
    dtype: torch.dtype  # of the image tower; the temporal head is fp32
    mixes_time: bool = False  # the tower looks at neighbouring frames: a forward pass must hold whole clips

    @torch.inference_mode()
    def encode_frames(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        """frames: uint8 [N, S, S, 3], sRGB, clip after clip → features: float32 [N, d] on the CPU, un-normalised
        (method §18: average before normalising). `clip`: number of frames in one clip; it matters if the tower mixes
        time. Raises: ValueError if N is not a multiple of `clip`."""
        return self.image_tower(self.pixels(frames, clip), clip).float().cpu()  # [N, d]

    def pixels(self, frames: UInt8Array, clip: int) -> torch.Tensor:
        """The tower's input, [N, 3, S, S]. Raises: ValueError, as `encode_frames`."""
        if len(frames) % clip:
            raise ValueError(f"{len(frames)} frames are not whole clips of {clip}")
        return normalised(torch.from_numpy(frames), self.profile, self.device).to(self.dtype)

    def encode_clips(self, frames: UInt8Array, forward: FrameCall | None = None) -> torch.Tensor:
        """frames: uint8 [V, T, S, S, 3] → frame features: float32 [V, T, d] on the CPU. `forward` replaces
        `encode_frames`; serving passes its batcher's."""
        views, length, *image = frames.shape
        clip = length if self.mixes_time else 1  # frames of any clips can go together unless the tower mixes time
        features = (forward or self.encode_frames)(frames.reshape(views * length, *image), clip)  # [V·T, d]
        return features.view(views, length, -1)  # [V, T, d]

    @torch.inference_mode()
    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """The temporal head: features float32 [V, T, d] → video vectors [V, d] on the CPU. Raises: ValueError for more
        frames than the head reads."""
        return self.head(features.to(self.device)).cpu()  # [V, d]

    def video_vectors(self, frames: UInt8Array, most: int | None = None) -> torch.Tensor:
        """frames: uint8 [V, T, S, S, 3] → video vectors: float32 [V, d] on the CPU, un-normalised. `most`: frames in
        one forward pass, None for no limit. Raises: ValueError, as `pool`."""

        def forward(frames: UInt8Array, clip: int) -> torch.Tensor:
            size = pass_size(most or len(frames), clip)
            passes = [self.encode_frames(frames[at : at + size], clip) for at in range(0, len(frames), size)]
            return torch.cat(passes)  # [V·T, d]

        return self.pool(self.encode_clips(frames, forward))


def pass_size(most: int, clip: int) -> int:
    """Number of frames in one forward pass: at most `most`, in whole clips of `clip` frames, at least one clip. Serving
    and evaluation cut a video's frames in the same places, because sums of other sizes may round differently."""
    return max(clip, most // clip * clip)
