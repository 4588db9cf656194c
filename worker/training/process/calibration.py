"""A calibration on request: how often the similarities of a model are right, on clips that it has not learned from."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from core.calibration.record import Calibration, CalibrationMeasures, Reliability
from core.calibration.request import CalibrationRequest, labels_of, usable_clips
from core.calibration.shelf import ANY, DIAGRAM, RECORD, calibration_id, scope_of
from core.datasets import Item
from core.errors import InvalidRequest
from core.questions import Label, folded
from core.registry import CARD, Card
from models.calibration.judged import Judged, Measured, Seen, fit_clips, judge
from models.calibration.null_prompts import NULL_VERSION
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.training.calibration.diagram import diagram_png
from worker.training.calibration.similarities import null_rows, readings_of, see
from worker.training.judging.gallery import Gallery
from worker.training.run.base_model import as_served, open_base_model
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec


def run_calibration(spec: RunSpec, request: CalibrationRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Write a calibration and its picture to `spec.output`, and send the calibration as the result. Raises: VireoError,
    Stopped."""
    world.report_phase("preparing")
    of_set = request.labels is not None
    labels = labels_of(request, spec.dataset.labels)
    items = usable_clips(spec.dataset.items, labels, spec.trained_on, of_set=of_set)
    if not of_set:  # a class without a usable clip is not asked about
        present = {item.label for item in items}
        labels = tuple(label for label in labels if label.name in present)
    base = open_base_model(spec)
    recognizer = as_served(base, spec, world.device, keep=False)
    seen, kept, skipped = _see(spec, request, base, recognizer, labels, items, world, pool, stop)
    usable_clips(kept, labels, frozenset(), of_set=of_set)  # enough clips could be decoded
    world.report_phase("evaluating")
    judged = judge(seen, by_clips=of_set)
    clips = np.arange(len(kept))
    asked = range(len(labels)) if of_set else sorted(set(seen.labels.tolist()))
    logistic = fit_clips(seen, clips, asked, np.random.default_rng(0))
    measures = [_measures(each) for each in judged]
    found = Calibration(
        id=calibration_id(spec.job),
        version=0,  # numbered when it is published
        model=recognizer.name,
        digest=recognizer.digest,
        label_set=request.label_set,
        scope=scope_of(labels, request.templates, normalise=_normalise(spec, request)) if of_set else ANY,
        created_at=time.time(),
        dataset=spec.dataset.id,
        clips=len(kept),
        classes=len(set(seen.labels.tolist())),
        skipped=skipped,
        left_out="clips" if of_set else "classes",
        null_version=NULL_VERSION,
        bias=logistic.bias,
        above_mean=logistic.weights[0],
        above_best=logistic.weights[1],
        informative=logistic.informative,
        measures=measures,
        notes=_notes(recognizer, labels, measures, informative=logistic.informative),
    )
    (spec.output / RECORD).write_text(found.model_dump_json(), encoding="utf-8")
    (spec.output / DIAGRAM).write_bytes(diagram_png(measures))
    send_message("result", **found.model_dump(mode="json"))


def _see(
    spec: RunSpec,
    request: CalibrationRequest,
    base: Base,
    recognizer: Recognizer,
    labels: Sequence[Label],
    items: tuple[Item, ...],
    world: World,
    pool: DecodePool,
    stop: Stop,
) -> tuple[Seen, tuple[Item, ...], int]:
    """What the model makes of the clips, those that could be decoded, and how many could not. Raises: InvalidRequest,
    Stopped."""
    try:
        rows = readings_of(base, recognizer, labels, request.templates, normalise=_normalise(spec, request))
    except KeyError as error:
        raise InvalidRequest(
            f"{recognizer.name} knows only the classes that it was trained on; {error.args[0]!r} is not one.",
            hint=f"Its classes: {', '.join(recognizer.classes[:20])}.",
            field="dataset",
        ) from None
    places = {folded(label.name): place for place, label in enumerate(labels)}
    own = [places[folded(item.label)] for item in items]
    world.report_phase("evaluating")
    gallery = Gallery(
        reader=ClipReader(pool, recognizer.profile, recognizer.profile.frames),
        items=items,
        samples=[Sample(spec.clips / item.sha256, label) for item, label in zip(items, own, strict=True)],
        most=spec.settings.batch_frames,
        stop=stop,
        world=world,
        features=spec.feature_files(),
    )
    indices, vectors = gallery.vectors(recognizer)  # [n, V, d]
    kept = tuple(items[index] for index in indices)
    seen = see(vectors, rows, null_rows(recognizer), [own[index] for index in indices], recognizer)
    return seen, kept, len(gallery.reader.skipped)


def _normalise(spec: RunSpec, request: CalibrationRequest) -> bool:
    """How questions to the model read labels, unless the request says otherwise."""
    if request.normalize_labels is not None:
        return request.normalize_labels
    if spec.version is None:
        return False
    return Card.model_validate_json((spec.version / CARD).read_text(encoding="utf-8")).normalizes_labels


def _measures(judged: Judged) -> CalibrationMeasures:
    return {
        "reading": judged.reading,
        "questions": judged.questions,
        "top1": judged.top1,
        "before": _reliability(judged.before),
        "after": _reliability(judged.after),
        "informative": judged.informative,
    }


def _reliability(found: Measured) -> Reliability:
    return {
        "ece": found.ece,
        "ece_labels": found.ece_labels,
        "auroc": found.auroc,
        "coverage": found.coverage,
        "threshold": found.threshold,
        "diagram": [
            {"low": each.low, "high": each.high, "claimed": each.claimed, "right": each.right, "count": each.count}
            for each in found.diagram
        ],
    }


def _notes(
    recognizer: Recognizer, labels: Sequence[Label], measures: Sequence[CalibrationMeasures], *, informative: bool
) -> list[str]:
    notes: list[str] = []
    if not informative:
        notes.append(
            "On these clips a higher similarity does not mean that a label is right more often. Every confidence is "
            "the share of right labels; the model cannot tell these labels apart."
        )
    trained = {folded(name) for name in recognizer.classes}
    if (
        trained
        and len(measures) == 1
        and recognizer.fixed_rows is None
        and all(folded(label.name) in trained for label in labels)
    ):
        notes.append(
            "The model was trained on all of these classes. For labels that it was not trained on, confidence may be "
            "too high or too low; calibrate on clips of other classes to know."
        )
    return notes
