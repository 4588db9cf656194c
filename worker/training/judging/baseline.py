"""How the base model does before training, on the clips that the report will be about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from models.recognition.recognizer import Recognizer
from worker.training.judging.gallery import Galleries, Gallery, open_galleries, score_served
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
    galleries = galleries if run.sees_as_base else open_galleries(run, as_base=True)
    judged = unseen = None
    rows = served_rows(served, division.classes, normalise=normalise)
    if rows is not None and division.judged:
        judged = _score_judged(run, served, galleries.judged, rows)
    rows = served_rows(served, division.novel, normalise=normalise) if len(division.novel) > 1 else None
    if rows is not None:
        unseen = score_served(served, galleries.unseen, rows)
    return Baseline(judged, unseen)


def keep_val_trunk(run: TrainingRun, galleries: Galleries) -> None:
    """Look at the val clips once if the trunk is frozen, unless the baseline has done so. Raises: VireoError,
    Stopped."""
    if galleries.val.trunk is None and run.keeps_trunk(len(galleries.val)):
        run.world.report_phase("features")
        galleries.val.vectors_and_trunk(as_served(replace(run.base, profile=run.profile), run.spec, run.device))


def _score_judged(run: TrainingRun, served: Recognizer, judged: Gallery, rows: Tensor) -> Scored:
    """Scores of the judged clips. They are often the val clips as well, and the probe's."""
    if not (run.keeps_trunk(len(judged)) and run.sees_as_base):
        return score_served(served, judged, rows)
    indices, vectors = judged.vectors_and_trunk(served)  # [n, 1, d]
    return judged.score(indices, vectors, rows, served.logit_scale, served.profile.aggregate, served.profile.fusion)
