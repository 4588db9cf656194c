"""The classifier W: one unit row per label, made of its prompts, and addressed by everything that went into it.

Method §4: each prompt's vector is normalised, a label's vectors are averaged, the mean is normalised again. The address
covers the text tower's weights and tokenizer, the texts themselves and the rules that made them, so that editing a
label or a template can never meet a stale row (the released code keys its file by data set and architecture only).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.profiles.prompts import NORMALISER_VERSION, expand, normalise_label
from models.recognition.recognizer import Recognizer
from models.weights.digests import digest

TEXTS_PER_PASS = 128


def row_key(
    recognizer: Recognizer, label: str, prompts: Sequence[str] | None, templates: Sequence[str], normalise: bool
) -> str:
    """The content address of one row. Prompts replace templates, so templates do not enter it beside them."""
    return digest(
        "row",
        recognizer.text_digest,
        recognizer.device.type,  # texts are computed in fp32 everywhere, but each kind of device rounds in its own way
        label,
        None if prompts is None else tuple(prompts),
        None if prompts is not None else tuple(templates),
        NORMALISER_VERSION if normalise else None,
    )


def build_rows(
    recognizer: Recognizer,
    labels: Sequence[tuple[str, Sequence[str] | None]],
    templates: Sequence[str],
    normalise: bool,
) -> tuple[torch.Tensor, list[bool]]:
    """labels: (name, its own prompts or None) → rows: float32 [C, d], unit length; truncated: bool per label, true
    where any of its texts was longer than the text tower reads. Raises: ValueError."""
    texts = [expand(normalise_label(name) if normalise else name, prompts, templates) for name, prompts in labels]
    flat = [text for of_label in texts for text in of_label]
    passes = [recognizer.encode_texts(flat[i : i + TEXTS_PER_PASS]) for i in range(0, len(flat), TEXTS_PER_PASS)]
    vectors = _unit(torch.cat([features for features, _ in passes]))  # [Σ prompts, d]
    cut = [flag for _, flags in passes for flag in flags]
    rows, truncated, start = [], [], 0
    for of_label in texts:
        stop = start + len(of_label)
        rows.append(vectors[start:stop].mean(dim=0))  # [prompts, d] → [d]
        truncated.append(any(cut[start:stop]))
        start = stop
    return _unit(torch.stack(rows)), truncated  # [C, d]


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
