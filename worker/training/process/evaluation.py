"""An evaluation on request: any model, any dataset, any wording of its classes (method §9, §11)."""

from __future__ import annotations

import time
from dataclasses import replace

from torch import Tensor

from core.errors import InvalidRequest
from core.protocols.catalogue import protocol_of
from core.protocols.judged import clips_to_judge
from core.registry import CARD, Card
from core.results import EvaluationResult, ProtocolResult
from core.training_requests import EvaluationRequest
from models.frames.sampling import Views
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader
from worker.decoding.pool import DecodePool
from worker.training.judging.gallery import Gallery, score_served
from worker.training.judging.label_spaces import sum_up_spaces
from worker.training.judging.measures import SINGLE, Evaluation, evaluate_views
from worker.training.judging.scored import Scored
from worker.training.result.maps import map_vectors
from worker.training.result.predictions import write_predictions
from worker.training.result.report import build_report, write_report
from worker.training.result.report_types import DatasetFacts, ModelFacts
from worker.training.run.base_model import as_served, open_base_model, served_rows
from worker.training.run.division import samples_of
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec


def run_evaluation(spec: RunSpec, request: EvaluationRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Write a report to `spec.output` and send the result. Raises: VireoError, Stopped."""
    world.report_phase("preparing")
    base = open_base_model(spec)
    profile = replace(base.profile, frames=request.frames or base.profile.frames)
    protocol = protocol_of(request)
    spaces = protocol.spaces(request, spec.dataset)
    split, items = clips_to_judge(request, spec.dataset, spaces)
    recognizer = as_served(base, spec, world.device, keep=False)
    rows = _rows(recognizer, request, spec)
    reader = ClipReader(pool, profile, profile.frames)
    samples = samples_of(items, spec.dataset.labels, spec.clips)
    gallery = Gallery(
        reader=reader,
        items=items,
        samples=samples,
        most=spec.settings.batch_frames,
        stop=stop,
        world=world,
        features=spec.feature_files(),
    )
    scored: dict[str, Scored] = {}
    for views in dict.fromkeys((SINGLE, request.views)):
        world.report_phase("evaluating")
        scored[views] = score_served(recognizer, gallery, rows, Views.parse(views), request.aggregate)
    found = sum_up_spaces(protocol, spaces, scored[SINGLE], spec.dataset.labels)
    classes = request.labels or spec.dataset.labels
    evaluation = evaluate_views(scored, classes)
    _write(spec, request, recognizer, base, split, evaluation, found, scored[SINGLE], rows, reader)
    write_predictions(scored, classes, spec.output)
    _send_result(spec, recognizer, split, evaluation, found)


def _write(
    spec: RunSpec,
    request: EvaluationRequest,
    recognizer: Recognizer,
    base: Base,
    split: str,
    evaluation: Evaluation,
    found: ProtocolResult,
    single: Scored,
    rows: Tensor,
    reader: ClipReader,
) -> None:
    dataset = spec.dataset
    report = build_report(
        evaluation,
        model=ModelFacts(
            name=recognizer.name,
            base=None,
            recipe=None,
            classifier="text" if recognizer.fixed_rows is None else "closed",
            temporal=base.temporal_kind,
            open_labels=base.open_labels,
            precision=recognizer.precision,
        ),
        dataset=DatasetFacts(id=dataset.id, digest=dataset.digest, name=dataset.name),
        split=split,
        protocol=request.protocol,
        protocol_result=found,
        created_at=time.time(),
        classes=request.labels or dataset.labels,
        classifiers={"W": rows.cpu().numpy()},
        vectors=map_vectors(None, single.embedded),
        skipped=spec.clip_paths(reader.skipped),
    )
    write_report(report, spec.output)


def _send_result(
    spec: RunSpec, recognizer: Recognizer, split: str, evaluation: Evaluation, found: ProtocolResult
) -> None:
    result = EvaluationResult(
        evaluation=spec.job,
        model=recognizer.name,
        split=split,
        metrics=evaluation["views"].get(SINGLE),
        views=evaluation["views"],
        protocol=found,
        report=f"/v1/evaluations/{spec.job}/report",
    )
    send_message("result", **result.model_dump(mode="json"))


def _rows(recognizer: Recognizer, request: EvaluationRequest, spec: RunSpec) -> Tensor:
    """W [C, d], unit rows, as questions get it. Raises: InvalidRequest."""
    classes = spec.dataset.labels
    labels = request.labels or classes
    if len(labels) != len(classes):
        raise InvalidRequest(
            f"{len(labels)} labels were given for {len(classes)} classes.",
            hint=f"Give one label per class, in this order: {', '.join(classes[:20])}.",
            field="labels",
        )
    rows = served_rows(recognizer, labels, normalise=_normalise(request, spec), templates=request.templates)
    if rows is None:
        unknown = next(label for label in labels if label not in recognizer.classes)
        raise InvalidRequest(
            f"{recognizer.name} knows only the classes that it was trained on; {unknown!r} is not one.",
            hint=f"Its classes: {', '.join(recognizer.classes[:20])}.",
            field="labels",
        )
    return rows


def _normalise(request: EvaluationRequest, spec: RunSpec) -> bool:
    """How questions to the model read labels, unless the request says otherwise."""
    if request.normalize_labels is not None:
        return request.normalize_labels
    if spec.version is None:
        return False
    return Card.model_validate_json((spec.version / CARD).read_text(encoding="utf-8")).normalizes_labels
