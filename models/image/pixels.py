"""Frames as bytes → an image tower's input, on its device, in one pass over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from models.profiles.profile import Profile


def normalised(frames: Tensor, profile: Profile, device: torch.device) -> Tensor:
    """frames: uint8 [N, S, S, 3], sRGB → float32 [N, 3, S, S], normalised by the profile's mean and std."""
    # A permuted view of HWC bytes is already channels_last, the fastest layout for convolutions.
    pixels = frames.to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32).div_(255)  # [N, 3, S, S]
    mean = torch.tensor(profile.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(profile.std, device=device).view(1, 3, 1, 1)
    return pixels.sub_(mean).div_(std)
