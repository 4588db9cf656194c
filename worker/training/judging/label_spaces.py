"""The numbers of each label space that a protocol draws: its clips, scored among its classes only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.protocols.protocol import LabelSpace, Protocol
from core.protocols.sums import shares, sum_up
from core.results import Draw, ProtocolResult
from models.judging.metrics import mean_class_accuracy, top_k
from models.judging.protocols import restrict
from worker.training.judging.scored import Scored


def sum_up_spaces(
    protocol: Protocol, spaces: Sequence[LabelSpace], scored: Scored, classes: Sequence[str]
) -> ProtocolResult:
    """scored: among `classes`, which are the dataset's."""
    once = scored.without_duplicates()
    row = protocol.row(len(spaces))
    draws = [_draw(space, row, once, classes) for space in spaces]
    return {
        "name": protocol.name,
        "about": protocol.about,
        "source": protocol.source,
        "rows": sum_up(draws),
        "draws": draws,
    }


def _draw(space: LabelSpace, row: str, scored: Scored, classes: Sequence[str]) -> Draw:
    inside = np.array([space.paths is None or path in space.paths for path in scored.ids], bool)  # [n]
    kept = [classes.index(name) for name in space.classes]
    chosen, own = restrict(scored.probabilities[inside], scored.labels[inside], kept)  # [m, K], [m]
    numbers = {
        "top1": top_k(chosen, own, 1),
        "top5": top_k(chosen, own, 5),
        "mean_class_accuracy": mean_class_accuracy(chosen, own),
    }
    return {
        "name": space.name,
        "row": row,
        "shots": None,
        "numbers": shares(numbers),
        "clips": len(own),
        "classes": list(space.classes),
        "novel": [],
        "drawn": None,
        "job": None,
        "model": None,
    }
