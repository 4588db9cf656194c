"""predictions.jsonl: what the model said about every judged clip. A line is one clip in one kind of view:

    {"clip": "jump/3.mp4", "view": "1x1", "true": "jump", "given": "run", "score": 0.71, "before": "sit"}

The file is not a part of report.json, because a dataset may have a hundred thousand clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from core.registry import PREDICTIONS
from worker.training.judging.measures import SINGLE
from worker.training.judging.scored import Scored


class Prediction(TypedDict):
    clip: str  # its path in the dataset
    view: str  # 1x1, 4x3, …
    true: str
    given: str  # the label with the highest score
    score: float  # of `given`; as in an answer, to six digits
    before: NotRequired[str]  # what the model that training started from said about the single view


def write_predictions(
    scored: Mapping[str, Scored], classes: Sequence[str], directory: Path, before: Scored | None = None
) -> None:
    """scored: view → scores among `classes`; before: of the single view, by the model that training started from."""
    with (directory / PREDICTIONS).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in _predictions(scored, classes, before))


def _predictions(scored: Mapping[str, Scored], classes: Sequence[str], before: Scored | None) -> Iterator[Prediction]:
    was = {} if before is None else dict(zip(before.ids, before.probabilities.argmax(axis=1).tolist(), strict=True))
    for view, of_view in scored.items():
        once = of_view.without_duplicates()
        best = once.probabilities.argmax(axis=1)  # [n]
        scores = once.probabilities.max(axis=1)  # [n]
        for clip, label, given, score in zip(once.ids, once.labels, best, scores, strict=True):
            line: Prediction = {
                "clip": clip,
                "view": view,
                "true": classes[label],
                "given": classes[given],
                "score": round(float(score), 6),
            }
            if view == SINGLE and clip in was:
                line["before"] = classes[was[clip]]
            yield line
