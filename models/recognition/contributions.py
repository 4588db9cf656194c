"""How much each frame of a view adds to the similarity of the video and a label."""

from __future__ import annotations

import torch

from core.vocabulary import Fusion


def contributions(by_frame: torch.Tensor, row: torch.Tensor, fusion: Fusion = "embedding") -> torch.Tensor:
    """by_frame: [T, d], the vectors whose mean is the video's; row: [d], the label's unit row → float64 [T].

    Nothing is estimated: the video's vector is a mean, and a cosine is linear in it once its length is known. So the
    contributions sum up to the similarity that `scoring.score` gives for the view. A frame can contribute less than 0.
    """
    vectors, target = by_frame.double(), row.double()
    length = vectors.mean(dim=0).norm().clamp_min(1e-12) if fusion == "embedding" else 1.0
    return vectors @ target / (len(vectors) * length)  # [T]
