"""The labels of a question by their scores. Predictions are made of the first ones only: objects for ten thousand
labels would take longer than their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.questions import Label
from core.records import Prediction
from core.state.shadow_counts import Look
from models.frames.arrays import FloatArray, IntArray
from models.recognition.scoring import Scores

DIGITS = 6  # of the numbers in answers


@dataclass(frozen=True, slots=True)
class Ranking:
    """labels: of the question; places: in `labels`, the highest score first [C]; equal scores keep the order of the
    request. scores, similarities, confidences: float64 [C] in this order, rounded as answers show them. threshold: of
    the mode `multi`, which says of each label whether it is there."""

    labels: tuple[Label, ...]
    places: IntArray
    scores: FloatArray
    similarities: FloatArray
    confidences: FloatArray | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, labels: tuple[Label, ...], scores: Scores) -> Ranking:
        probabilities, similarities = (row.cpu().numpy() for row in (scores.probabilities, scores.similarities))  # [C]
        order = np.argsort(-probabilities, kind="stable")  # [C]; NumPy's calls cost a fifth of torch's for few labels
        return cls(labels, order, rounded(probabilities[order]), rounded(similarities[order]))

    @property
    def probabilities(self) -> FloatArray:
        """Confidences, or scores if the model is not calibrated [C]."""
        return self.scores if self.confidences is None else self.confidences

    @property
    def look(self) -> Look:
        """What is compared with other answers."""
        second = self.scores[1] if len(self.scores) > 1 else 0.0
        return Look(self.labels[self.places[0]].name, float(self.scores[0] - second))

    def predictions(self, most: int | None = None) -> list[Prediction]:
        """The first ones; None: all."""
        return [self.prediction(rank) for rank in range(len(self.places[:most]))]

    def prediction(self, rank: int) -> Prediction:
        """rank: 0 is the best."""
        return Prediction(
            label=self.labels[self.places[rank]].name,
            score=float(self.scores[rank]),
            similarity=float(self.similarities[rank]),
            confidence=None if self.confidences is None else float(self.confidences[rank]),
            present=None if self.threshold is None else bool(self.probabilities[rank] >= self.threshold),
        )

    def rank_of(self, label: str) -> int | None:
        """None for a label that was not asked."""
        names = [each.name for each in self.labels]
        return int(np.flatnonzero(self.places == names.index(label))[0]) if label in names else None


def rounded(numbers: FloatArray) -> FloatArray:
    """float64, as answers show them."""
    return np.round(numbers.astype(np.float64), DIGITS)
