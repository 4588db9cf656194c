"""Scores: the matrix product of a video's vectors and a classifier, and the three ways to merge views.

Method §9: Text4Vis averages un-normalised view features before anything else; ViFi-CLIP averages probabilities.
Averaging logits is the third way. With a single view all three agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from core.vocabulary import Aggregate, Fusion


@dataclass(frozen=True, slots=True)
class Scores:
    probabilities: torch.Tensor  # float32 [C], softmax over the labels
    similarities: torch.Tensor  # float32 [C], cosines; their mean over views if views are scored apart


def score(
    views: torch.Tensor,
    classifier: torch.Tensor,
    logit_scale: float,
    aggregate: Aggregate,
    fusion: Fusion = "embedding",
) -> Scores:
    """views: [V, d], un-normalised; classifier: [C, d], unit rows; logits = logit_scale · cos (method §7). Unless
    frames are fused as embeddings, a view is the mean of its frames' unit vectors, and its products are means of
    cosines."""
    if aggregate == "features":
        views = views.mean(dim=0, keepdim=True)  # [V, d] → [1, d]
    cosines = similarities(views, classifier, fusion)  # [V, C]
    logits = logit_scale * cosines  # [V, C]
    if aggregate == "probabilities":
        probabilities = logits.softmax(dim=-1).mean(dim=0)  # [C]
    else:
        probabilities = logits.mean(dim=0).softmax(dim=-1)  # [C]
    return Scores(probabilities, cosines.mean(dim=0))  # [C]


def similarities(vectors: torch.Tensor, classifier: torch.Tensor, fusion: Fusion = "embedding") -> torch.Tensor:
    """vectors: [N, d] as `Recognizer.pool` returns them; classifier: [C, d], unit rows → cosines [N, C]."""
    units = normalize(vectors.float(), dim=-1) if fusion == "embedding" else vectors.float()  # [N, d]
    return units @ classifier.float().T  # [N, d] · [d, C] → [N, C]
