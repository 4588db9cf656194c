"""Questions drawn from labelled clips: some with the clip's own label among their labels, as many without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.frames.arrays import BoolArray, IntArray

MOST_ASKED: Final = 10  # labels of one question
PER_CLIP: Final = 4  # questions about one clip: half of them with its label


@dataclass(frozen=True, slots=True)
class Questions:
    """clips: index of the clip of each question [q]; asked: which labels it asks about, bool [q, C]; known: whether the
    clip's own label is among them [q]."""

    clips: IntArray
    asked: BoolArray
    known: BoolArray


def draw_questions(
    labels: IntArray, clips: IntArray, classes: Sequence[int], count: int, rng: np.random.Generator
) -> Questions:
    """Questions of 2 to 10 labels about some clips, whose own labels are among `classes`.

    labels: of all clips [n]; count: of all classes.
    """
    most = min(MOST_ASKED, len(classes))
    places: list[int] = []
    asked: list[BoolArray] = []
    known: list[bool] = []
    for clip in clips.tolist():
        others = [label for label in classes if label != labels[clip]]
        for number in range(PER_CLIP):
            size = int(rng.integers(2, most + 1))
            own = number % 2 == 0
            drawn = rng.choice(others, min(size - own, len(others)), replace=False)
            mask = np.zeros(count, bool)
            mask[drawn] = True
            mask[labels[clip]] = own
            places.append(clip)
            asked.append(mask)
            known.append(own)
    return Questions(np.array(places, np.int64), np.array(asked, bool).reshape(-1, count), np.array(known, bool))
