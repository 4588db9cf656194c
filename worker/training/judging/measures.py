"""The numbers of a report, computed from a model's scores. The metrics are defined in models/judging/metrics.py.

Method §15: a split is scored exactly; a clip that is scored twice (the padding of a distributed sampler) counts once.
Shares are from 0 to 1, and None if there is nothing to measure, as for a class without clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from core.results import ViewMetrics
from models.frames.arrays import FloatArray, IntArray
from models.judging import metrics
from worker.training.judging.scored import Scored

SINGLE = "1x1"
MISTAKES = 20


class Confused(TypedDict):
    name: str
    clips: int


class ClassRow(TypedDict):
    name: str
    support: int
    accuracy: float | None
    ap: float | None
    confused_with: Confused | None


class Mistake(TypedDict):
    clip: str
    true: str
    given: str
    score: float


class Evaluation(TypedDict):
    views: dict[str, ViewMetrics]
    per_class: list[ClassRow]
    confusion: list[list[int]]
    mistakes: list[Mistake]


def view_metrics(scored: Scored) -> ViewMetrics:
    """Metrics of at least one clip."""
    clips, top5_k = len(scored.labels), min(5, scored.probabilities.shape[1])
    return {
        "clips": clips,
        "top1": float(scored.hits.mean()),
        "top1_interval": list(wilson_interval(int(scored.hits.sum()), clips)),
        "top5": metrics.top_k(scored.probabilities, scored.labels, top5_k),
        "top5_k": top5_k,
        "mean_class_accuracy": metrics.mean_class_accuracy(scored.probabilities, scored.labels),
        "map": metrics.mean_average_precision(scored.probabilities, scored.labels),
    }


def evaluate_views(scored: Mapping[str, Scored], classes: Sequence[str]) -> Evaluation:
    """scored: view → scores of the same clips. The tables are those of the single view (`1x1`), or of the first view if
    there is no single one. A view without a clip is left out of `views`."""
    views = {name: view.without_duplicates() for name, view in scored.items()}
    single = views.get(SINGLE) or next(iter(views.values()))
    confusion = metrics.confusion_matrix(single.probabilities, single.labels)  # [C, C]
    return {
        "views": {name: view_metrics(view) for name, view in views.items() if len(view.labels)},
        "per_class": _per_class(single, confusion, classes),
        "confusion": confusion.tolist(),
        "mistakes": _mistakes(single, classes),
    }


def row_correlation(rows: FloatArray) -> list[list[float]]:
    """rows: W [C, d] → cosines between its rows [C, C], to four digits (Text4Vis, Fig. 1)."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # [C, d]
    cosines: list[list[float]] = np.round((unit @ unit.T).astype(np.float64), 4).tolist()  # [C, C]
    return cosines


def wilson_interval(hits: int, clips: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927). It is also right for few clips, and if none or all of them
    are hits."""
    centre = (hits + z * z / 2) / (clips + z * z)
    half = z / (clips + z * z) * math.sqrt(hits * (clips - hits) / clips + z * z / 4)
    low, high = centre - half, centre + half
    # The interval contains the share itself; if none or all are hits, rounding could leave it just outside.
    return (low, high) if 0 < hits < clips else (low, 1.0) if hits else (0.0, high)


def _per_class(single: Scored, confusion: IntArray, classes: Sequence[str]) -> list[ClassRow]:
    precisions = metrics.average_precisions(single.probabilities, single.labels)  # [C], NaN for a class without clips
    rows: list[ClassRow] = []
    for index, name in enumerate(classes):
        support = int(confusion[index].sum())
        others = confusion[index].copy()
        others[index] = 0
        worst = int(others.argmax())
        rows.append(
            {
                "name": name,
                "support": support,
                "accuracy": int(confusion[index, index]) / support if support else None,
                "ap": float(precisions[index]) if support else None,
                "confused_with": {"name": classes[worst], "clips": int(others[worst])} if others[worst] else None,
            }
        )
    return rows


def _mistakes(single: Scored, classes: Sequence[str]) -> list[Mistake]:
    """The mistakes with the highest scores first: often the dataset's label is wrong."""
    wrong = np.flatnonzero(~single.hits)
    scores = single.probabilities.max(axis=1)  # [n]
    worst = wrong[np.argsort(-scores[wrong], kind="stable")][:MISTAKES]
    given = single.probabilities.argmax(axis=1)  # [n]
    return [
        {
            "clip": single.ids[place],
            "true": classes[single.labels[place]],
            "given": classes[given[place]],
            "score": float(scores[place]),
        }
        for place in worst
    ]
