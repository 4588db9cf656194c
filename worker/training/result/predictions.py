"""predictions.jsonl: what the model said about every judged clip. A line is one clip in one kind of view:

    {"clip": "jump/3.mp4", "view": "1x1", "true": "jump", "given": "run", "score": 0.71}

The file is not a part of report.json, because a dataset may have a hundred thousand clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from core.registry import PREDICTIONS
from worker.training.judging.scored import Scored


class Prediction(TypedDict):
    clip: str  # its path in the dataset
    view: str  # 1x1, 4x3, …
    true: str
    given: str  # the label with the highest score
    score: float  # of `given`; as in an answer, to six digits


def write_predictions(scored: Mapping[str, Scored], classes: Sequence[str], directory: Path) -> None:
    """scored: view → scores among `classes`."""
    with (directory / PREDICTIONS).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in _predictions(scored, classes))


def _predictions(scored: Mapping[str, Scored], classes: Sequence[str]) -> Iterator[Prediction]:
    for view, of_view in scored.items():
        once = of_view.without_duplicates()
        best = once.probabilities.argmax(axis=1)  # [n]
        scores = once.probabilities.max(axis=1)  # [n]
        for clip, label, given, score in zip(once.ids, once.labels, best, scores, strict=True):
            yield {
                "clip": clip,
                "view": view,
                "true": classes[label],
                "given": classes[given],
                "score": round(float(score), 6),
            }
