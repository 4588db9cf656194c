"""The prompt ensemble: several texts of a label become one row of W, in training and in serving (method §4).

Each text's vector is normalised, a label's vectors are averaged, and the mean is normalised again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.profiles.prompts import expand, normalise_label
from models.text.encoder import EncodeTexts

TEXTS_PER_PASS = 128


def build_rows(
    encode: EncodeTexts,
    labels: Sequence[tuple[str, Sequence[str] | None]],
    templates: Sequence[str],
    normalise: bool,
) -> tuple[Tensor, list[bool]]:
    """labels: (name, its own prompts or None) → rows: float32 [C, d], unit length, on the CPU; truncated: for each
    label whether any of its texts was truncated. Raises: ValueError."""
    texts = [expand(normalise_label(name) if normalise else name, prompts, templates) for name, prompts in labels]
    vectors, truncated = encode_by_label(encode, texts)
    return torch.stack([merge(of_label) for of_label in vectors]), truncated  # [C, d]


def encode_by_label(encode: EncodeTexts, texts: Sequence[Sequence[str]]) -> tuple[list[Tensor], list[bool]]:
    """texts: for each label one or more → for each label its unit vectors, float32 [texts, d], on the CPU; and whether
    any of its texts was truncated."""
    flat = [text for of_label in texts for text in of_label]
    passes = [encode(flat[start : start + TEXTS_PER_PASS]) for start in range(0, len(flat), TEXTS_PER_PASS)]
    vectors = normalize(torch.cat([part.detach().float().cpu() for part, _ in passes]), dim=-1)  # [Σ texts, d]
    flags = torch.tensor([flag for _, part in passes for flag in part])  # bool [Σ texts]
    sizes = [len(of_label) for of_label in texts]
    return list(torch.split(vectors, sizes)), [bool(of_label.any()) for of_label in torch.split(flags, sizes)]


def merge(vectors: Tensor) -> Tensor:
    """Unit vectors [texts, …, d] → their normalised mean [… , d]."""
    return normalize(vectors.mean(dim=0), dim=-1)
