"""The preview of a run: what heads on frozen features can do with its clips."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from core.results import Cost, CurvePoint, HeadEstimate, PreviewResult
from models.heads.blend import own_scores
from models.heads.curve import Point, learning_curve
from models.heads.judge import Candidate, Judged, estimate, judge_heads
from worker.training.fit.closed_form import Frozen, plain_rows
from worker.training.preview.advice import advise, paired_gain
from worker.training.run.parts import TrainingRun

SHOWN: Final[tuple[Candidate, ...]] = ("zero_shot", "ncm", "ridge", "lda", "default")
ENOUGH_FOR_TOWER: Final = 40  # clips per class: fewer cannot teach an image tower more than a head
FLAT: Final = 0.01  # what twice as many clips bring to the heads, at most, if their features are what limits them
BACKWARD: Final = 3.0  # a step of the loop takes about three times as long as a forward pass


def measure_preview(run: TrainingRun, frozen: Frozen) -> tuple[PreviewResult, Judged]:
    """frozen: of the run's train clips. Raises: Stopped."""
    run.world.report_phase("preview")
    classes = run.division.classes
    began = time.monotonic()
    present = frozen.present
    own = frozen.of(present)
    scores = own_scores(own.videos, plain_rows(run, [classes[label] for label in present]))
    judged = judge_heads(own.features, scores, own.labels, seed=run.config.seed)
    fit_seconds = time.monotonic() - began
    run.stop.check()
    curve = learning_curve(own.features, scores, own.labels, seed=run.config.seed)
    run.stop.check()
    heads = [_row(name, judged, own) for name in SHOWN]
    paths = [run.division.train[place].path for place in own.places]
    shots = min(Counter(own.labels.tolist()).values())
    tower = _tower_is_worth_it(shots, curve, heads)
    return (
        PreviewResult(
            dataset=run.spec.dataset.id,
            base=run.base.name,
            judged_clips=int((~judged.hits["zero_shot"].isnan()).sum()),
            classes=[classes[label] for label in present],
            shots=shots,
            heads=heads,
            gain=list(paired_gain(judged).interval) if "default" in judged.hits else None,
            curve=[_curve_point(point) for point in curve],
            cost=_cost(frozen, fit_seconds, run),
            tower=tower,
            advice=advise(judged, own.labels, [classes[label] for label in present], paths, curve, tower=tower),
        ),
        judged,
    )


def _row(name: Candidate, judged: Judged, own: Frozen) -> HeadEstimate:
    found = estimate(judged.hits[name]) if name in judged.hits else None
    if found is None:
        why = "LDA needs a class with two clips in what it is fitted on" if name == "lda" else "no clip can be left out"
        if name == "lda" and len(own.labels) == len(own.present):
            why = "every class has one clip, and LDA learns how clips of one class differ"
        return {"name": name, "top1": None, "error": None, "interval": None, "note": f"left out: {why}"}
    return {
        "name": name,
        "top1": found.mean,
        "error": found.error,
        "interval": list(found.interval),
        "note": None,
    }


def _curve_point(point: Point) -> CurvePoint:
    return {
        "shots": point.shots,
        "top1": point.mean,
        "low": point.low,
        "high": point.high,
        "measured": point.measured,
    }


def _tower_is_worth_it(shots: int, curve: tuple[Point, ...], heads: list[HeadEstimate]) -> bool:
    """Enough clips, the heads no longer gain by more of them, and something is left to gain."""
    ahead = [point for point in curve if not point.measured]
    if shots < ENOUGH_FOR_TOWER or len(ahead) < 2:
        return False
    best = max((head["top1"] or 0.0) for head in heads)
    return ahead[1].mean - ahead[0].mean < FLAT and best < 0.95


def _cost(frozen: Frozen, fit_seconds: float, run: TrainingRun) -> Cost:
    """gradient: of the recipe's loop over the whole tower, or over the projection if that is what the recipe tunes."""
    recipe = run.config.recipe
    passes = 1.0 if recipe.tune == "projection" else 1.0 + BACKWARD * recipe.epochs
    return {
        "features": round(frozen.seconds / 60, 3),
        "closed_form": round(fit_seconds / 60, 3),
        "gradient": round(frozen.seconds * passes / 60, 3),
    }
