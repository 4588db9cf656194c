"""From a model's scores to the numbers of a report. Which number is which: models/judging/metrics.py, models/judging/protocols.py.

Method §15: exact sets; a clip that is scored twice (the padding of a distributed sampler) counts once. Shares are from
0 to 1, and None where nothing can be said, as of a class without clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from models.judging import metrics, protocols

SINGLE = "1x1"
MISTAKES = 20

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """ids: the clips' paths; labels: int64 [n], indices of classes; probabilities: float [n, C].

    Raises: ValueError where the three do not fit, or a score is no number (the model has diverged).
    """

    ids: Sequence[str]
    labels: IntArray
    probabilities: FloatArray

    def __post_init__(self) -> None:
        count, classes = self.probabilities.shape
        if not len(self.ids) == len(self.labels) == count:
            raise ValueError(f"{len(self.ids)} clips, {len(self.labels)} labels, {count} rows of scores.")
        if count and not (self.labels.min() >= 0 and self.labels.max() < classes):
            raise ValueError(f"A label is none of the {classes} classes.")
        if not np.isfinite(self.probabilities).all():
            raise ValueError("A score is not a number: the model has diverged.")

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        best: IntArray = self.probabilities.argmax(axis=1)  # [n]
        right: npt.NDArray[np.bool_] = best == self.labels
        return right

    def once(self) -> Scored:
        """Each clip's first scores."""
        first = np.array(list({clip: place for place, clip in reversed(list(enumerate(self.ids)))}.values()), np.int64)
        first.sort()
        return Scored([self.ids[place] for place in first], self.labels[first], self.probabilities[first])


class ViewMetrics(TypedDict):
    clips: int
    top1: float
    top1_interval: list[float]
    top5: float
    top5_k: int
    mean_class_accuracy: float
    map: float


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


class Before(TypedDict):
    metrics: ViewMetrics
    gained: int
    lost: int
    chance: float


class Trio(TypedDict):
    base: float
    novel: float
    harmonic_mean: float


How = Literal["held_out", "probe"]
"""`held_out`: the version was not trained on the novel classes. `probe`: it was; another run, on half of the classes
and with the same recipe, was not."""


class BaseToNovel(TypedDict):
    how: How
    base_classes: list[str]
    novel_classes: list[str]
    base_clips: int
    novel_clips: int
    before: Trio
    after: Trio


class Spread(TypedDict):
    mean: float
    std: float


class Split(TypedDict):
    seed: int
    classes: list[int]
    clips: int
    top1: float
    top5: float


class HalfClass(TypedDict):
    splits: list[Split]
    top1: Spread
    top5: Spread


def measure(scored: Scored) -> ViewMetrics:
    """Of at least one clip."""
    clips, top5_k = len(scored.labels), min(5, scored.probabilities.shape[1])
    return {
        "clips": clips,
        "top1": float(scored.hits.mean()),
        "top1_interval": list(wilson(int(scored.hits.sum()), clips)),
        "top5": metrics.top_k(scored.probabilities, scored.labels, top5_k),
        "top5_k": top5_k,
        "mean_class_accuracy": metrics.mean_class_accuracy(scored.probabilities, scored.labels),
        "map": metrics.mean_average_precision(scored.probabilities, scored.labels),
    }


def evaluate(scored: Mapping[str, Scored], classes: Sequence[str]) -> Evaluation:
    """scored: view → scores of the same clips. The tables are the single view's (`1x1`, or the first where that is not
    there). A view without a clip is left out; with none at all the tables are those of no clips."""
    views = {name: view.once() for name, view in scored.items()}
    single = views.get(SINGLE) or next(iter(views.values()))
    confusion = metrics.confusion_matrix(single.probabilities, single.labels)  # [C, C]
    return {
        "views": {name: measure(view) for name, view in views.items() if len(view.labels)},
        "per_class": _per_class(single, confusion, classes),
        "confusion": confusion.tolist(),
        "mistakes": _mistakes(single, classes),
    }


def compare(before: Scored, after: Scored) -> Before | None:
    """The same clips before and after training: which were gained and lost, and how often a difference as large would
    come by chance if each change had been as likely in either direction (two-sided sign test, exact). A clip that could
    be read only one of the two times is neither. None where there is no clip."""
    before, after = before.once(), after.once()
    if not len(before.labels):
        return None
    was = dict(zip(before.ids, before.hits.tolist(), strict=True))
    now = dict(zip(after.ids, after.hits.tolist(), strict=True))
    gained = sum(now[clip] and not was[clip] for clip in was.keys() & now.keys())
    lost = sum(was[clip] and not now[clip] for clip in was.keys() & now.keys())
    tail = sum(math.comb(gained + lost, count) for count in range(min(gained, lost) + 1))
    return {
        "metrics": measure(before),
        "gained": gained,
        "lost": lost,
        "chance": min(1.0, 2 * tail / 2 ** (gained + lost)),
    }


def base_to_novel(
    base: tuple[Scored, Scored],
    novel: tuple[Scored, Scored],
    base_classes: Sequence[str],
    novel_classes: Sequence[str],
    how: How = "held_out",
) -> BaseToNovel | None:
    """What training cost other labels (method §12): top-1 of clips of the trained classes, and of clips of those left
    out of training, each kind in its own label space.

    base, novel: scores before and after training, [n, C] among base_classes and [m, K] among novel_classes. None where
    a kind has no clip.
    """
    base, novel = (base[0].once(), base[1].once()), (novel[0].once(), novel[1].once())
    if not all(len(scored.labels) for scored in base + novel):
        return None
    before, after = (
        _trio(float(trained.hits.mean()), float(other.hits.mean())) for trained, other in zip(base, novel, strict=True)
    )
    return {
        "how": how,
        "base_classes": list(base_classes),
        "novel_classes": list(novel_classes),
        "base_clips": len(base[1].labels),
        "novel_clips": len(novel[1].labels),
        "before": before,
        "after": after,
    }


def half_class(scored: Scored) -> HalfClass:
    """Ten seeded halves of the classes (method §11). Raises: ValueError for clips of fewer than four classes."""
    scored = scored.once()
    result = protocols.half_class(scored.probabilities, scored.labels)
    return {
        "splits": [
            {
                "seed": half.seed,
                "classes": list(half.classes),
                "clips": half.clips,
                "top1": half.top1,
                "top5": half.top5,
            }
            for half in result.halves
        ],
        "top1": {"mean": result.top1.mean, "std": result.top1.std},
        "top5": {"mean": result.top5.mean, "std": result.top5.std},
    }


def correlation(rows: FloatArray) -> list[list[float]]:
    """rows: W [C, d] → cosines between its rows [C, C], to four digits (Text4Vis, Fig. 1)."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # [C, d]
    cosines: list[list[float]] = np.round((unit @ unit.T).astype(np.float64), 4).tolist()  # [C, C]
    return cosines


def wilson(hits: int, clips: int, z: float = 1.959964) -> tuple[float, float]:
    """Bounds of the true share, of which 95 in 100 such intervals hold it (Wilson 1927): also right for few clips, and
    for none or all of them hit."""
    centre = (hits + z * z / 2) / (clips + z * z)
    half = z / (clips + z * z) * math.sqrt(hits * (clips - hits) / clips + z * z / 4)
    low, high = centre - half, centre + half
    # The interval holds the share itself; for none or all hit, rounding would leave it out by a hair.
    return (low, high) if 0 < hits < clips else (low, 1.0) if hits else (0.0, high)


def _trio(base: float, novel: float) -> Trio:
    return {"base": base, "novel": novel, "harmonic_mean": protocols.harmonic_mean(base, novel)}


def _per_class(single: Scored, confusion: IntArray, classes: Sequence[str]) -> list[ClassRow]:
    precisions = metrics.average_precisions(single.probabilities, single.labels)  # [C], NaN where there is no clip
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
    """The most certain ones first: often a wrong label in the dataset."""
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
