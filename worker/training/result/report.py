"""The report of a model on a dataset: numbers (report.json), pictures (PNG) and one page for people (report.html)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.registry import REPORT, REPORT_PAGE
from core.results import Headline, PreviewResult, ProtocolResult
from models.frames.arrays import FloatArray
from worker.training.fit.curves import Curves
from worker.training.judging.comparison import BaseToNovelRecord, Comparison
from worker.training.judging.measures import Evaluation, row_correlation
from worker.training.result import plots
from worker.training.result.maps import VectorMap
from worker.training.result.report_page import render_page
from worker.training.result.report_types import DatasetFacts, ModelFacts, Report


def build_report(
    evaluation: Evaluation,
    *,
    model: ModelFacts,
    dataset: DatasetFacts,
    split: str,
    created_at: float,
    classes: Sequence[str],
    protocol: str = "full-class",
    protocol_result: ProtocolResult | None = None,
    classifiers: Mapping[str, FloatArray] | None = None,
    curves: Curves | None = None,
    before: Comparison | None = None,
    base_to_novel: BaseToNovelRecord | None = None,
    preview: PreviewResult | None = None,
    headline: Headline | None = None,
    vectors: VectorMap | None = None,
    skipped: Sequence[tuple[str, str]] = (),
) -> Report:
    """created_at: seconds since 1970. classifiers: kind of classifier → W [C, d]. skipped: clip, error code."""
    return {
        "format": 1,
        "model": model,
        "dataset": dataset,
        "split": split,
        "protocol": protocol,
        "created_at": created_at,
        "classes": list(classes),
        **evaluation,
        "classifier_correlation": {name: row_correlation(rows) for name, rows in (classifiers or {}).items()},
        "curves": _finite(curves or {"train": [], "val": []}),
        "before": before,
        "base_to_novel": base_to_novel,
        "protocol_result": protocol_result,
        "preview": None if preview is None else preview.model_dump(mode="json"),
        "headline": headline,
        "vectors": vectors,
        "skipped": [{"clip": clip, "reason": reason} for clip, reason in skipped],
    }


def write_report(report: Report, directory: Path) -> None:
    """Write report.json, report.html, confusion.png, and correlation.png, curves.png, gain.png, base-to-novel.png and
    vectors.png if there is something to draw."""
    pictures = _pictures(report)
    directory.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (directory / f"{name}.png").write_bytes(png)
    (directory / REPORT).write_text(json.dumps(report, allow_nan=False), encoding="utf-8")
    (directory / REPORT_PAGE).write_bytes(render_page(report, pictures).encode("utf-8", "replace"))


def _pictures(report: Report) -> dict[str, bytes]:
    confusion = np.array(report["confusion"], np.int64).reshape(len(report["classes"]), -1)
    pictures = {"confusion": plots.confusion_png(confusion, report["classes"])}
    if report["classifier_correlation"]:
        maps = {name: np.array(cosines) for name, cosines in report["classifier_correlation"].items()}
        pictures["correlation"] = plots.correlation_png(maps, report["classes"])
    if report["curves"]["train"] or report["curves"]["val"]:
        pictures["curves"] = plots.curves_png(report["curves"])
    if report["preview"] and report["preview"]["curve"]:
        pictures["gain"] = plots.gain_png(report["preview"]["curve"])
    if record := report["base_to_novel"]:
        pictures["base-to-novel"] = plots.bars_png(_bars(record))
    if (vectors := report["vectors"]) and vectors["after"]:
        places = {"before training": vectors["before"], "after training": vectors["after"]}
        if not report["before"]:
            places = {report["model"]["name"]: vectors["after"]}
        maps = {name: np.array(found) for name, found in places.items() if found}
        pictures["vectors"] = plots.map_png(maps, np.array(vectors["labels"], np.int64), report["classes"])
    return pictures


def _bars(record: BaseToNovelRecord) -> dict[str, dict[str, float]]:
    trios = {"before training": record["before"], "after training": record["after"]}
    return {
        name: {"trained classes": trio["base"], "other classes": trio["novel"], "harmonic mean": trio["harmonic_mean"]}
        for name, trio in trios.items()
    }


def _finite(curves: Curves) -> Curves:
    """JSON has no infinity: the loss of a step that overflowed in fp16 becomes null."""
    train, val = curves["train"], curves["val"]
    return {
        "train": [{**point, "loss": _number(point["loss"])} for point in train],
        "val": [{**point, "loss": _number(point["loss"])} for point in val],
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
