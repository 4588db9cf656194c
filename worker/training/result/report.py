"""What a model did on a dataset, as numbers (report.json), pictures (PNG) and one page for people (report.html).

`Report` is the form of report.json; shares are from 0 to 1, null means that nothing can be said.

    model      name (`gym:3`), base, recipe, classifier, temporal, open_labels
    dataset    id, digest, name;   split, protocol, created_at;   classes, in the order of W's rows
    views      "1x1", "4x3", … → clips, top1, its 95 % interval, top5 (and its k: min(5, C)), mean_class_accuracy, map
    per_class  of the single view, in the order of classes: support, accuracy, ap, the class it was most taken for
    confusion  [C][C] clips of the single view; rows are the true classes
    mistakes   the clips that the single view got wrong with the highest scores
    before     the model that training started from, on the same clips: its metrics; clips gained and lost, and the
               chance of a difference as large if training had changed nothing
    base_to_novel    what training cost other labels: top-1 among base and among novel classes, before and after, and the
               harmonic means (base to novel)
    half_class ten seeded halves of the classes: top-1 and top-5 of each; mean and population deviation
    classifier_correlation   name → cosines between the rows of W [C][C]
    curves     train: step, epoch, loss, lr;   val: epoch, loss, top1
    skipped    clips that could not be read, and why; they count in no number
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from core.registry import REPORT
from worker.training.judging.measures import (
    BaseToNovel,
    Before,
    Evaluation,
    FloatArray,
    HalfClass,
    correlation,
)
from worker.training.result import page, plots
from worker.training.result.plots import Curves

PAGE = "report.html"


class ModelFacts(TypedDict):
    name: str
    base: str | None
    recipe: str | None
    classifier: str | None
    temporal: str | None
    open_labels: bool


class DatasetFacts(TypedDict):
    id: str
    digest: str
    name: str


class Skipped(TypedDict):
    clip: str
    reason: str


class Report(Evaluation):
    format: Literal[1]
    model: ModelFacts
    dataset: DatasetFacts
    split: str
    protocol: str
    created_at: float
    classes: list[str]
    classifier_correlation: dict[str, list[list[float]]]
    curves: Curves
    before: Before | None
    base_to_novel: BaseToNovel | None
    half_class: HalfClass | None
    skipped: list[Skipped]


def build(
    evaluation: Evaluation,
    *,
    model: ModelFacts,
    dataset: DatasetFacts,
    split: str,
    created_at: float,
    classes: Sequence[str],
    protocol: str = "standard",
    classifiers: Mapping[str, FloatArray] | None = None,
    curves: Curves | None = None,
    before: Before | None = None,
    base_to_novel: BaseToNovel | None = None,
    half_class: HalfClass | None = None,
    skipped: Sequence[tuple[str, str]] = (),
) -> Report:
    """created_at: seconds since 1970. classifiers: what it is → W [C, d]. skipped: clip, error code."""
    return {
        "format": 1,
        "model": model,
        "dataset": dataset,
        "split": split,
        "protocol": protocol,
        "created_at": created_at,
        "classes": list(classes),
        **evaluation,
        "classifier_correlation": {name: correlation(rows) for name, rows in (classifiers or {}).items()},
        "curves": _finite(curves or {"train": [], "val": []}),
        "before": before,
        "base_to_novel": base_to_novel,
        "half_class": half_class,
        "skipped": [{"clip": clip, "reason": reason} for clip, reason in skipped],
    }


def write(report: Report, directory: Path) -> None:
    """report.json, report.html, confusion.png, and correlation.png and curves.png where there is something to draw."""
    pictures = _pictures(report)
    directory.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (directory / f"{name}.png").write_bytes(png)
    (directory / REPORT).write_text(json.dumps(report, allow_nan=False), encoding="utf-8")
    (directory / PAGE).write_bytes(page.render(report, pictures).encode("utf-8", "replace"))


def _pictures(report: Report) -> dict[str, bytes]:
    confusion = np.array(report["confusion"], np.int64).reshape(len(report["classes"]), -1)
    pictures = {"confusion": plots.confusion_png(confusion, report["classes"])}
    if report["classifier_correlation"]:
        maps = {name: np.array(cosines) for name, cosines in report["classifier_correlation"].items()}
        pictures["correlation"] = plots.correlation_png(maps, report["classes"])
    if report["curves"]["train"] or report["curves"]["val"]:
        pictures["curves"] = plots.curves_png(report["curves"])
    return pictures


def _finite(curves: Curves) -> Curves:
    """JSON has no infinity: the loss of a step that fp16 overflowed is null."""
    train, val = curves["train"], curves["val"]
    return {
        "train": [{**point, "loss": _number(point["loss"])} for point in train],
        "val": [{**point, "loss": _number(point["loss"])} for point in val],
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
