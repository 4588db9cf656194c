"""How alike labels are to a text encoder: near-synonyms, and labels that depend on the template.

What is near depends on the model: CLIP's rows all have cosines above 0.5, those of a centred sentence encoder are
around 0. So "near" is measured with the model itself: nearer than any two of a list of different everyday actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

DIFFERENT: Final = (
    "walking",
    "running",
    "jumping",
    "swimming",
    "dancing",
    "singing",
    "cooking",
    "eating",
    "drinking",
    "reading a book",
    "writing a letter",
    "typing on a keyboard",
    "talking on the phone",
    "driving a car",
    "riding a bicycle",
    "riding a horse",
    "climbing a wall",
    "skiing",
    "surfing",
    "playing football",
    "playing basketball",
    "playing tennis",
    "playing golf",
    "playing chess",
    "playing the guitar",
    "playing the piano",
    "playing the drums",
    "boxing",
    "doing yoga",
    "lifting weights",
    "brushing teeth",
    "washing dishes",
    "ironing clothes",
    "cleaning windows",
    "mowing the lawn",
    "watering plants",
    "painting a wall",
    "hammering a nail",
    "sawing wood",
    "welding",
    "sewing",
    "cutting hair",
    "shaving",
    "sleeping",
    "shaking hands",
    "hugging",
    "walking a dog",
    "feeding a cat",
)
"""48 everyday actions that nobody would call the same, some of them related."""


@dataclass(frozen=True, slots=True)
class Pair:
    first: int
    second: int
    cosine: float


def near_threshold(rows: Tensor) -> float:
    """rows: unit rows of `DIFFERENT` [48, d] → the highest cosine between two of them."""
    cosines = rows @ rows.T
    return float(cosines.fill_diagonal_(-1.0).max())


def near_pairs(rows: Tensor, threshold: float) -> list[Pair]:
    """rows: unit [C, d] → pairs of labels with a cosine above the threshold, the most similar first."""
    cosines = (rows @ rows.T).triu(diagonal=1)  # [C, C]
    first, second = torch.nonzero((cosines > threshold).triu(diagonal=1), as_tuple=True)
    pairs = [Pair(int(i), int(j), float(cosines[i, j])) for i, j in zip(first, second, strict=True)]
    return sorted(pairs, key=lambda pair: -pair.cosine)


def template_sensitive(rows: Tensor, others: Sequence[Tensor]) -> list[tuple[int, int]]:
    """rows: unit [C, d]; others: the same labels by other templates, each unit [C, d]. Labels whose row by another
    template is more similar to another label's row than to their own: (label, the other label)."""
    found: dict[int, int] = {}
    for other in others:
        nearest = (other @ rows.T).argmax(dim=1)  # [C]
        for place in torch.nonzero(nearest != torch.arange(len(rows))).flatten().tolist():
            found.setdefault(place, int(nearest[place]))
    return sorted(found.items())
