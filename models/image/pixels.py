"""Frames as bytes → an image tower's input, on its device, in one pass over a batch."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from models.profiles.profile import Profile


def normalised(frames: Tensor, profile: Profile, device: torch.device) -> Tensor:
    """frames: uint8 [N, S, S, 3], sRGB → float32 [N, 3, S, S], normalised by the profile's mean and std."""
    if device.type == "cuda" and not frames.is_cuda:
        frames = frames.pin_memory()  # else the copy waits for what the GPU computes
    # A permuted view of HWC bytes is already channels_last, the fastest layout for convolutions.
    pixels = frames.to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32).div_(255)  # [N, 3, S, S]
    return pixels.sub_(_per_channel(profile.mean, device)).div_(_per_channel(profile.std, device))


@lru_cache(maxsize=64)
def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """[1, 3, 1, 1]. It is kept, because a copy of three numbers makes the host wait for the device as well."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, 3, 1, 1)
