"""The training runs of protocols that train: K-shot curves, and base to novel. What is read off their cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.datasets import ClassCount, Dataset, Split
from core.errors import InvalidRequest
from core.protocols.class_splits import FEWEST_CLASSES, frequent_half
from core.protocols.protocol import Line, Run
from core.registry import Card
from core.training_requests import MOST_RUNS, EvaluationRequest, TrainingOptions
from core.vocabulary import CLOSED_METHODS

SEEDS = (0, 1, 2)
CURVE = (2, 4, 8, 16)  # shots
BASE_SHOTS = 16
REPORTED = ("top1", "top5", "mean_class_accuracy", "map")


def k_shot_runs(request: EvaluationRequest, dataset: Dataset) -> tuple[Run, ...]:
    """Every number of shots with every seed. Raises: InvalidRequest for classes with fewer clips, or too many runs."""
    shots, seeds = tuple(sorted(set(request.shots or CURVE))), tuple(dict.fromkeys(request.seeds or SEEDS))
    if len(shots) * len(seeds) > MOST_RUNS:
        raise InvalidRequest(
            f"{len(shots)} numbers of shots with {len(seeds)} seeds are {len(shots) * len(seeds)} runs; at most "
            f"{MOST_RUNS} are allowed.",
            field="seeds",
            limit=MOST_RUNS,
        )
    trained = [counted for counted in dataset.classes if counted.train]
    _check_classes(trained, 2)
    _check_shots(trained, max(shots))
    _check_judged(trained, dataset)
    return tuple(Run(f"{_shots(k)}, seed {seed}", k, seed) for k in shots for seed in seeds)


def k_shot_lines(run: Run, first: bool, card: Card) -> Sequence[Line]:
    """The base as it is, once, and the version."""
    before = card.metrics.get("before")
    after = card.metrics["views"].get("1x1")
    base = [_reported(_shots(0), before, 0)] if first and before else []
    return [*base, _reported(_shots(run.shots), after, run.shots)]


def base_to_novel_runs(request: EvaluationRequest, dataset: Dataset) -> tuple[Run, ...]:
    """One with each seed, on the more frequent half of the classes. Raises: InvalidRequest for fewer than four classes,
    for base classes with fewer clips than shots, if a side has no clips to judge, or if the trained versions would not
    know novel classes."""
    shots = request.shots or (BASE_SHOTS,)
    if len(shots) != 1:
        raise InvalidRequest(
            f"The protocol takes one number of shots; {len(shots)} were given.",
            hint="The protocol k-shot takes several.",
            field="shots",
        )
    _check_open(request.training)
    _check_classes(dataset.classes, FEWEST_CLASSES)
    split = frequent_half({counted.name: counted.train for counted in dataset.classes})
    _check_shots([counted for counted in dataset.classes if counted.name in split.base], shots[0])
    for names in (split.base, split.novel):
        _check_judged([counted for counted in dataset.classes if counted.name in names], dataset)
    seeds = tuple(dict.fromkeys(request.seeds or SEEDS))
    return tuple(Run(f"seed {seed}", shots[0], seed, split.novel) for seed in seeds)


def base_to_novel_lines(_run: Run, first: bool, card: Card) -> Sequence[Line]:
    found: dict[str, Any] = card.base_to_novel or {"before": {}, "after": {}}
    names, clips = ("base", "novel", "harmonic_mean"), found.get("base_clips", 0) + found.get("novel_clips", 0)
    lines = [
        Line(f"{moment} training", {name: found[moment].get(name) for name in names}, clips=clips)
        for moment in ("before", "after")
    ]
    return lines if first else lines[1:]


def _shots(count: int) -> str:
    return "1 shot" if count == 1 else f"{count} shots"


def _reported(row: str, metrics: dict[str, Any] | None, shots: int) -> Line:
    found = metrics or {}
    return Line(row, {name: found.get(name) for name in REPORTED}, shots, found.get("clips"))


def _check_open(training: TrainingOptions | None) -> None:
    """Raises: InvalidRequest if what is trained knows its own classes only."""
    if training and (training.method in CLOSED_METHODS or not training.classifier.startswith("text")):
        raise InvalidRequest(
            "The versions would know the classes that they were trained on only, so novel classes cannot be judged.",
            hint="Use a method other than vision_only, and classifier=text.",
            field="training",
        )


def _check_classes(classes: Sequence[ClassCount], fewest: int) -> None:
    """Raises: InvalidRequest."""
    if len(classes) < fewest:
        names = [counted.name for counted in classes]
        raise InvalidRequest(
            f"The protocol needs at least {fewest} classes, and the dataset has {len(classes)}: {', '.join(names)}.",
            hint="Add clips of other classes.",
            field="dataset",
            classes=names,
        )


def _check_shots(classes: Sequence[ClassCount], shots: int) -> None:
    """Raises: InvalidRequest, naming the classes that have fewer clips."""
    thin = sorted((counted for counted in classes if counted.train < shots), key=lambda counted: counted.train)
    if thin:
        named = ", ".join(f"{counted.name[:80]!r} has {counted.train}" for counted in thin[:5])
        more = f", and {len(thin) - 5} more have too few" if len(thin) > 5 else ""
        raise InvalidRequest(
            f"The protocol draws {shots} clips of each class to train on, but {named}{more}.",
            hint=f"Ask for at most {thin[0].train} shots, or add clips." if thin[0].train else "Add clips.",
            field="shots",
            limit=thin[0].train,
            classes=[counted.name for counted in thin],
        )


def _check_judged(classes: Sequence[ClassCount], dataset: Dataset) -> None:
    """Raises: InvalidRequest if no clip of these classes is in the split that reports judge."""
    split: Split = "test" if dataset.splits.get("test") else "val"
    if not any(getattr(counted, split) for counted in classes):
        names = [counted.name for counted in classes]
        raise InvalidRequest(
            f"No clip of these classes can be judged, because none is in {split!r}: {', '.join(names[:20])}.",
            hint="Hold out clips of them, or give no split: then one is made.",
            field="dataset",
            classes=names,
        )
