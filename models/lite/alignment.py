"""Two towers that were trained separately are brought into one space in closed form, without any data (design §6).

ImageNet links them: its 1000 class names have text vectors E [1000, d], and the image tower's classifier has one row
for each class, W [1000, F].
- ridge: W is regressed on E, so one matrix turns a feature f [F] into a text vector, f · P. This gives a direction, but
  no certainty.
- ConSE (Norouzi et al. 2014): the mean of the text vectors weighted by the class probabilities, softmax(W f + b) · E.
  This gives certainty, but only vectors between those of ImageNet's classes.
- both: ConSE's vector plus the ridge vector's direction at ConSE's length. The length is the frame's weight in the mean
  over time (an uncertain frame has a short vector). So both parts weight frames alike, and there is no constant to
  choose.
`benchmarks/lite_alignment.py` compares the three.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

RIDGE_STRENGTH = (
    1.0  # in units of the mean squared length of the classifier's rows, so signal and prior have equal weight
)


def class_names() -> list[str]:
    """The common name of each ImageNet-1k class, in the order of its classifiers. timm has the lists."""
    from timm.data.imagenet_info import ImageNetInfo  # an optional extra, needed while assembling only

    # "tench, Tinca tinca" → "tench": the later names are rarer words, which a sentence encoder knows less well
    return [lemmas.split(",")[0].strip() for lemmas in ImageNetInfo("imagenet-1k").label_descriptions()]


def ridge(classifier: Tensor, targets: Tensor, strength: float = RIDGE_STRENGTH) -> Tensor:
    """classifier: W [C, F]; targets: centred text vectors [C, d] → P [F, d]. It is solved in float64, in its C × C
    form."""
    rows = classifier.double() - classifier.double().mean(dim=0)  # [C, F]
    gram = rows @ rows.T  # [C, C]
    penalty = strength * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    projection: Tensor = rows.T @ torch.linalg.solve(gram + penalty, targets.double())  # [F, d]
    return projection.float()


def conse(logits: Tensor, targets: Tensor) -> Tensor:
    """logits: float32 [N, C]; targets: [C, d] → [N, d]. It uses all classes; ten, as in the paper, gave the same
    accuracy or less."""
    vectors: Tensor = logits.softmax(dim=-1) @ targets
    return vectors


def combine(by_probability: Tensor, by_projection: Tensor) -> Tensor:
    """ConSE and ridge vectors [N, d] → their sum at equal length [N, d]."""
    length = torch.linalg.vector_norm(by_probability, dim=-1, keepdim=True)  # [N, 1]
    both: Tensor = by_probability + length * normalize(by_projection, dim=-1)
    return both
