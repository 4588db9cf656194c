"""How the base model does before training, on the clips that the report will be about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.training.judging.gallery import Galleries, score_served
from worker.training.judging.scored import Scored
from worker.training.run.base_model import as_served, served_rows
from worker.training.run.parts import TrainingRun


@dataclass(frozen=True, slots=True)
class Baseline:
    """None: there are no such clips, or the base model's labels are closed and do not include them."""

    judged: Scored | None = None
    unseen: Scored | None = None

    def to_dict(self) -> dict[str, Any]:
        """Strings and tensors, which a checkpoint can hold."""
        measured = {"judged": self.judged, "unseen": self.unseen}
        return {name: scored.to_dict() for name, scored in measured.items() if scored is not None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Baseline:
        return cls(**{name: Scored.from_dict(data[name]) for name in ("judged", "unseen") if name in data})


def measure_baseline(run: TrainingRun, galleries: Galleries) -> Baseline:
    """The scores that requests get from the base model, of labels that are read as the run reads them. Raises:
    VireoError, Stopped."""
    division, normalise = run.division, run.request.normalize_labels
    run.world.report_phase("evaluating")
    served = as_served(run.base, run.spec, run.device)
    judged = unseen = None
    rows = served_rows(served, division.classes, normalise=normalise)
    if rows is not None and division.judged:
        judged = score_served(served, galleries.judged, rows)
    rows = served_rows(served, division.novel, normalise=normalise) if len(division.novel) > 1 else None
    if rows is not None:
        unseen = score_served(served, galleries.unseen, rows)
    return Baseline(judged, unseen)
