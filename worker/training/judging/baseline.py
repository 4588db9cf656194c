"""How the base model does before training, on the clips that the report will be about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.training.judging.gallery import Galleries, score_gallery
from worker.training.judging.scored import Scored
from worker.training.run.base_model import base_rows
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
    """Raises: VireoError, Stopped."""
    division, base = run.division, run.base
    normalise = run.request.normalize_labels
    run.world.report_phase("evaluating")
    model = base.video_model(base.temporal_kind).to(run.device)
    judged = unseen = None
    rows = base_rows(base, division.classes, normalise=normalise)
    if rows is not None and division.judged:
        judged = score_gallery(run, galleries.judged, model, rows, base.logit_scale)
    rows = base_rows(base, division.novel, normalise=normalise) if len(division.novel) > 1 else None
    if rows is not None:
        unseen = score_gallery(run, galleries.unseen, model, rows, base.logit_scale)
    return Baseline(judged, unseen)
