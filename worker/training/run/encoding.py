"""Video vectors of dataset clips, made on the road that serves them (models/recognition/video_encoder.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.image.precision import autocasting
from models.profiles.profile import Profile
from models.recognition.video_encoder import VideoEncoder
from models.recognition.video_model import VideoModel
from worker.training.run.stop import Stop


@contextmanager
def encoder_of(
    model: VideoModel, profile: Profile, device: torch.device, compute: torch.dtype
) -> Iterator[VideoEncoder]:
    """A view on a model with fp32 weights: the tower computes in `compute` under autocast, the head in fp32. The model
    is in evaluation mode while the context lasts."""

    def image_tower(pixels: Tensor, clip: int) -> Tensor:
        with autocasting(device, compute):
            features: Tensor = model.tower(pixels, clip)  # [N, 3, S, S] → [N, d]
        return features

    was_training = model.training
    model.eval()
    try:
        yield VideoEncoder(
            image_tower=image_tower,
            head=model.temporal,
            profile=profile,
            dim=model.tower.dim,
            device=device,
            dtype=torch.float32,
            mixes_time=model.tower.mixes_time,
        )
    finally:
        model.train(was_training)


def encode_videos(
    videos: Iterable[tuple[int, UInt8Array]], encoder: VideoEncoder, views: Views, most: int, stop: Stop
) -> tuple[list[int], Tensor]:
    """videos: index and frames uint8 [V, T, S, S, 3] → the indices, and video vectors float32 [n, V, d] on the CPU.

    Each video is encoded by itself, as serving encodes a video while no other request shares its forward passes.
    `most`: frames in one forward pass. Raises: Stopped.
    """
    indices: list[int] = []
    vectors: list[Tensor] = []
    for index, frames in videos:
        stop.check()
        indices.append(index)
        vectors.append(encoder.video_vectors(frames, most))  # [V, d]
    return indices, torch.stack(vectors) if vectors else torch.empty(0, views.count, encoder.dim)  # [n, V, d]


def encode_together(
    videos: Iterable[tuple[int, UInt8Array]], encoder: VideoEncoder, together: int, stop: Stop
) -> tuple[list[int], Tensor]:
    """videos: index and frames of one view uint8 [1, T, S, S, 3] → the indices, and video vectors float32 [n, 1, d] on
    the CPU.

    `together`: videos in one forward pass. It needs fewer passes than `encode_videos`, but sums may round otherwise
    than those of serving. Raises: Stopped.
    """
    indices: list[int] = []
    vectors: list[Tensor] = []
    left = iter(videos)
    while group := list(islice(left, together)):
        stop.check()
        indices += [index for index, _ in group]
        vectors.append(encoder.video_vectors(np.concatenate([frames for _, frames in group])))  # [B, d]
    return indices, (torch.cat(vectors) if vectors else torch.empty(0, encoder.dim)).unsqueeze(1)  # [n, 1, d]
