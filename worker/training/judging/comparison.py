"""What training changed: on the clips of the trained classes, and for labels that it did not see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

from core.results import ViewMetrics
from models.judging import protocols
from models.judging.protocols import BaseToNovel
from worker.training.judging.measures import view_metrics
from worker.training.judging.scored import Scored


class Comparison(TypedDict):
    metrics: ViewMetrics  # before training
    gained: int
    lost: int
    chance: float


HowMeasured = Literal["held_out", "probe"]
"""`held_out`: the version was not trained on the novel classes. `probe`: it was; another run with the same recipe was
trained on half of the classes, and the numbers are those of that run."""


class BaseToNovelRecord(TypedDict):
    how: HowMeasured
    base_classes: list[str]
    novel_classes: list[str]
    base_clips: int
    novel_clips: int
    before: BaseToNovel
    after: BaseToNovel


def compare_scores(before: Scored, after: Scored) -> Comparison | None:
    """Scores of the same clips before and after training. `chance`: how often a difference at least as large would come
    by chance if each change were equally likely in either direction (two-sided sign test, exact). A clip that could be
    read only one of the two times is neither gained nor lost. None if there is no clip."""
    before, after = before.without_duplicates(), after.without_duplicates()
    if not len(before.labels):
        return None
    was = dict(zip(before.ids, before.hits.tolist(), strict=True))
    now = dict(zip(after.ids, after.hits.tolist(), strict=True))
    gained = sum(now[clip] and not was[clip] for clip in was.keys() & now.keys())
    lost = sum(was[clip] and not now[clip] for clip in was.keys() & now.keys())
    tail = sum(math.comb(gained + lost, count) for count in range(min(gained, lost) + 1))
    return {
        "metrics": view_metrics(before),
        "gained": gained,
        "lost": lost,
        "chance": min(1.0, 2 * tail / 2 ** (gained + lost)),
    }


def base_to_novel_record(
    base: tuple[Scored, Scored],
    novel: tuple[Scored, Scored],
    base_classes: Sequence[str],
    novel_classes: Sequence[str],
    how: HowMeasured = "held_out",
) -> BaseToNovelRecord | None:
    """What training cost other labels (method §12): top-1 of clips of the trained classes, and of clips of the classes
    left out of training, each in its own label space.

    base, novel: scores before and after training, [n, C] among base_classes and [m, K] among novel_classes. None if
    one of them has no clip.
    """
    base = base[0].without_duplicates(), base[1].without_duplicates()
    novel = novel[0].without_duplicates(), novel[1].without_duplicates()
    if not all(len(scored.labels) for scored in base + novel):
        return None
    before, after = (
        protocols.base_to_novel(trained.probabilities, trained.labels, other.probabilities, other.labels)
        for trained, other in zip(base, novel, strict=True)
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
