"""An evaluation on request: any model, any dataset, any wording of its classes (method §9, §11)."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from core.datasets import Item
from core.errors import InvalidRequest
from core.results import EvaluationResult
from core.training_requests import EvaluationRequest
from models.frames.sampling import Views
from models.image.precision import has_native_bf16
from models.judging import protocols
from models.judging.protocols import HalfClass
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader
from worker.decoding.pool import DecodePool
from worker.training.judging.gallery import Gallery
from worker.training.judging.measures import SINGLE, Evaluation, evaluate_views
from worker.training.judging.scored import Scored
from worker.training.result.report import build_report, write_report
from worker.training.result.report_types import DatasetFacts, ModelFacts
from worker.training.run.base_model import base_rows, open_base_model, text_rows
from worker.training.run.division import samples_of
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec

TOGETHER = 4  # views in one forward pass


def run_evaluation(spec: RunSpec, request: EvaluationRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Write a report to `spec.output` and send the result. Raises: VireoError, Stopped."""
    world.report_phase("preparing")
    base = open_base_model(spec)
    profile = replace(base.profile, frames=request.frames or base.profile.frames)
    split, items = _items(spec, request)
    rows = _rows(base, request, spec.dataset.labels)
    reader = ClipReader(pool, profile, profile.frames)
    gallery = Gallery(reader, items, samples_of(items, spec.dataset.labels, spec.clips), profile, stop)
    recognizer = base.recognizer(world.device, _dtype(world.device), keep=False)
    scored: dict[str, Scored] = {}
    for views in dict.fromkeys((SINGLE, request.views)):
        world.report_phase("evaluating")
        indices, vectors = gallery.vectors(recognizer, Views.parse(views), TOGETHER)  # [n, V, d]
        aggregate = request.aggregate or profile.aggregate
        scored[views] = gallery.score(indices, vectors, rows, recognizer.logit_scale, aggregate)
    half_class = _half_class(scored[SINGLE]) if request.protocol == "half_class" else None
    evaluation = evaluate_views(scored, request.labels or spec.dataset.labels)
    _write(spec, request, recognizer, base, split, evaluation, half_class, rows, reader)
    _send_result(spec, recognizer, split, evaluation, half_class)


def _write(
    spec: RunSpec,
    request: EvaluationRequest,
    recognizer: Recognizer,
    base: Base,
    split: str,
    evaluation: Evaluation,
    half_class: HalfClass | None,
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
        ),
        dataset=DatasetFacts(id=dataset.id, digest=dataset.digest, name=dataset.name),
        split=split,
        protocol=request.protocol,
        created_at=time.time(),
        classes=request.labels or dataset.labels,
        classifiers={"W": rows.cpu().numpy()},
        half_class=half_class,
        skipped=spec.clip_paths(reader.skipped),
    )
    write_report(report, spec.output)


def _send_result(
    spec: RunSpec, recognizer: Recognizer, split: str, evaluation: Evaluation, half_class: HalfClass | None
) -> None:
    result = EvaluationResult(
        evaluation=spec.job,
        model=recognizer.name,
        split=split,
        metrics=evaluation["views"].get(SINGLE),
        views=evaluation["views"],
        half_class=dict(half_class) if half_class else None,
        report=f"/v1/evaluations/{spec.job}/report",
    )
    send_message("result", **result.model_dump(mode="json"))


def _items(spec: RunSpec, request: EvaluationRequest) -> tuple[str, tuple[Item, ...]]:
    """The split's name and clips. Raises: InvalidRequest."""
    dataset = spec.dataset
    if request.split == "all":
        return "all", dataset.items
    split = request.split
    if split == "val" and not dataset.of("val"):
        split = "test"
    items = dataset.of(split)
    if not items:
        raise InvalidRequest(f"The dataset has no clips in {request.split!r}.", hint="Try split=all.", field="split")
    return split, items


def _rows(base: Base, request: EvaluationRequest, classes: tuple[str, ...]) -> Tensor:
    """W [C, d], unit rows. Raises: InvalidRequest."""
    labels = request.labels or classes
    if len(labels) != len(classes):
        raise InvalidRequest(
            f"{len(labels)} labels were given for {len(classes)} classes.",
            hint=f"Give one label per class, in this order: {', '.join(classes[:20])}.",
            field="labels",
        )
    if base.fixed_rows is None:
        templates = request.templates or base.profile.templates
        return text_rows(base.text_encoder, labels, templates, base.dim, normalise=request.normalize_labels)
    rows = base_rows(base, labels, normalise=request.normalize_labels)
    if rows is None:
        unknown = next(label for label in labels if label not in base.classes)
        raise InvalidRequest(
            f"{base.name} knows only the classes that it was trained on; {unknown!r} is not one.",
            hint=f"Its classes: {', '.join(base.classes[:20])}.",
            field="labels",
        )
    return rows


def _dtype(device: torch.device) -> torch.dtype:
    """bf16 on a GPU that computes it natively, else fp32."""
    return torch.bfloat16 if device.type == "cuda" and has_native_bf16(device) else torch.float32


def _half_class(scored: Scored) -> HalfClass:
    """Raises: InvalidRequest."""
    scored = scored.without_duplicates()
    try:
        return protocols.half_class(scored.probabilities, scored.labels)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", field="protocol") from error
