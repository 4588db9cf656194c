"""Do no harm: a new version gets the requested alias only if it is better than what there was."""

from __future__ import annotations

from dataclasses import replace

from core.comparison.paired import Comparison, compare_hits
from core.registry import Version
from core.results import Promotion
from worker.training.judging.gallery import Gallery, score_served
from worker.training.judging.scored import Scored
from worker.training.run.base_model import open_standing_version, served_rows
from worker.training.run.parts import TrainingRun


def judge_promotion(run: TrainingRun, gallery: Gallery, before: Scored | None, after: Scored) -> Promotion | None:
    """before, after: the base and the new version on the clips of the gallery. The version that the alias points to is
    scored on the same clips, by all processes. None if the request names no alias. Raises: VireoError, Stopped."""
    alias = run.request.promote
    if alias is None:
        return None
    new = f"the new version of {run.request.name}"
    standing = None if run.spec.standing is None else run.spec.standing[0]
    comparisons = [compare_hits(new, _hits(after), f"{run.base.name} before training", _hits(before))]
    if run.spec.standing is not None:
        name = str(Version(run.request.name, run.spec.standing[0]))
        comparisons.append(compare_hits(new, _hits(after), name, _hits(_of_standing(run, gallery))))
    found = [comparison for comparison in comparisons if comparison is not None]
    better = len(found) == len(comparisons) and all(comparison["verdict"] == "better" for comparison in found)
    return {
        "alias": alias,
        "promoted": better,
        "reason": _reason(found, complete=len(found) == len(comparisons)),
        "standing": standing,
        "comparisons": found,
    }


def _of_standing(run: TrainingRun, gallery: Gallery) -> Scored | None:
    """As it is served. None if its labels are closed, and some of the classes are not among them."""
    served = open_standing_version(run.spec, run.device)
    rows = served_rows(served, run.division.classes, normalise=run.request.normalize_labels)
    if rows is None:
        return None
    if served.profile.vision_digest() != run.profile.vision_digest():  # it reads other frames or crops
        gallery = replace(gallery, reader=gallery.reader.in_profile(served.profile), frames=None)
    return score_served(served, gallery, rows)


def _hits(scored: Scored | None) -> dict[str, bool]:
    return {} if scored is None else dict(zip(scored.ids, scored.hits.tolist(), strict=True))


def _reason(found: list[Comparison], *, complete: bool) -> str:
    if not complete:
        return "It could not be compared: one of the models cannot be asked about these clips and classes."
    failed = [comparison["sentence"] for comparison in found if comparison["verdict"] != "better"]
    return " ".join(failed or [comparison["sentence"] for comparison in found])
