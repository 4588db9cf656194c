"""Whether an engine answers as the model does: the same labels first, with about the same probabilities.

Features may differ and nobody see it; what people see are labels and scores. So these are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn.functional import normalize

from models.classifier.likeness import DIFFERENT
from models.frames.arrays import UInt8Array
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score

LEAST_SAME_LABEL: Final = 0.99
MOST_CHANGE: Final = 0.01
CHECKED_CLIPS: Final = 100  # fewer could not tell 99 % from 98
LEAST_CLIPS: Final = 20  # of a user's own: fewer say nothing


@dataclass(frozen=True, slots=True)
class Agreement:
    """clips: that were compared; same_label: share of them with the same best label; change: mean difference of the
    probability of the label that the model puts first."""

    clips: int
    same_label: float
    change: float

    @property
    def holds(self) -> bool:
        return self.same_label >= LEAST_SAME_LABEL and self.change <= MOST_CHANGE

    def __str__(self) -> str:
        return (
            f"same best label for {self.same_label:.1%} of {self.clips} clips, probabilities within {self.change:.4f}"
        )


FeaturesOf = Callable[[UInt8Array], torch.Tensor]
"""The frames of a clip, uint8 [T, S, S, 3] → their features float32 [T, d]."""


def agreement(
    recognizer: Recognizer, exact: FeaturesOf, other: FeaturesOf, clips: list[UInt8Array], labels: tuple[str, ...]
) -> Agreement:
    """clips: uint8 [T, S, S, 3] each. labels: as `question_of`."""
    rows = _rows(recognizer, labels)  # [C, d]
    same, change = 0, 0.0
    for clip in clips:
        expected, found = (_probabilities(recognizer, features(clip), rows) for features in (exact, other))  # [C]
        best = int(expected.argmax())
        same += int(found.argmax()) == best
        change += float((expected[best] - found[best]).abs())
    return Agreement(len(clips), same / len(clips), change / len(clips))


def question_of(recognizer: Recognizer) -> tuple[str, ...]:
    """The labels that are asked: those that a version was trained on, or different everyday actions."""
    return recognizer.classes if len(recognizer.classes) > 1 else DIFFERENT


def _rows(recognizer: Recognizer, labels: tuple[str, ...]) -> torch.Tensor:
    """[C, d]."""
    if recognizer.fixed_rows is not None:
        return recognizer.fixed_rows
    template = recognizer.profile.templates[0]
    vectors, _ = recognizer.encode_texts([template.replace("{}", label) for label in labels])
    return normalize(vectors, dim=-1)  # [C, d]


def _probabilities(recognizer: Recognizer, features: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """features: float32 [T, d] → [C]."""
    vectors = recognizer.pool(features[None])  # [1, d]
    profile = recognizer.profile
    return score(vectors, rows, recognizer.logit_scale, profile.aggregate, profile.fusion).probabilities
