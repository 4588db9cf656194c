"""Scores by hand, for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.training.judging.scored import Scored

ABC = ["a", "b", "c"]


def scored(labels: Sequence[int], given: Sequence[int], classes: int = 3, ids: Sequence[str] | None = None) -> Scored:
    """Clips that got the classes `given` with a score of 0.6; the other classes share the rest."""
    probabilities = np.full((len(labels), classes), 0.4 / (classes - 1))
    probabilities[np.arange(len(labels)), np.array(given, np.int64)] = 0.6
    return Scored(ids or [f"{place}.mp4" for place in range(len(labels))], np.array(labels, np.int64), probabilities)
