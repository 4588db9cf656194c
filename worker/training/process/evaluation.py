"""An evaluation on demand: any model, any dataset, any wording of its classes (method §9, §11)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch import Tensor

from core.datasets import Item
from core.errors import InvalidRequest
from core.registry import REPORT
from core.training_requests import EvaluationRequest
from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.frames.sampling import Views
from models.image.precision import DTYPES, autocasting, has_native_bf16
from models.recognition.base import Base
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader
from worker.decoding.pool import DecodePool
from worker.training.judging import measures
from worker.training.judging.gallery import Gallery
from worker.training.judging.measures import HalfClass, Scored
from worker.training.result import report
from worker.training.run.base_model import open_model
from worker.training.run.division import samples
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import Spec

TOGETHER = 4  # views in one forward pass


def run(spec: Spec, request: EvaluationRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Writes `spec.output` and says the result. Raises: VireoError, Stopped."""
    send_message("progress", phase="preparing")
    base = open_model(spec)
    profile = replace(base.profile, frames=request.frames or base.profile.frames)
    split, items = _items(spec, request)
    classes = spec.dataset.labels
    rows = _rows(base, request, classes)
    reader = ClipReader(pool, profile, profile.frames)
    gallery = Gallery(reader, items, samples(items, classes, spec.clips), profile, world.device, stop)
    model = base.video_model(base.temporal_kind).to(world.device).eval().requires_grad_(False)
    precision = "bf16" if world.device.type == "cuda" and has_native_bf16(world.device) else "fp32"
    scored: dict[str, Scored] = {}
    for name in dict.fromkeys(("1x1", request.views)):
        send_message("progress", phase="evaluating")
        places, vectors = gallery.vectors(
            model, Views.parse(name), TOGETHER, lambda: autocasting(world.device, DTYPES[precision])
        )  # [n, V, d]
        aggregate = request.aggregate or profile.aggregate
        scored[name] = gallery.scored(places, vectors, rows, base.logit_scale, aggregate)
    _conclude(spec, request, base, split, scored, rows, reader)


def _conclude(
    spec: Spec,
    request: EvaluationRequest,
    base: Base,
    split: str,
    scored: dict[str, Scored],
    rows: Tensor,
    reader: ClipReader,
) -> None:
    dataset = spec.dataset
    half_class = _half_class(scored["1x1"]) if request.protocol == "half_class" else None
    classes = request.labels or dataset.labels
    evaluation = measures.evaluate(scored, classes)
    paths = {item.sha256: item.path for item in dataset.items}
    written = report.build(
        evaluation,
        model={
            "name": base.name,
            "base": None,
            "recipe": None,
            "classifier": "text" if base.fixed_rows is None else "closed",
            "temporal": base.temporal_kind,
            "open_labels": base.open_labels,
        },
        dataset=report.DatasetFacts(id=dataset.id, digest=dataset.digest, name=dataset.name),
        split=split,
        protocol=request.protocol,
        created_at=time.time(),
        classes=classes,
        classifiers={"W": rows.cpu().numpy()},
        half_class=half_class,
        skipped=sorted((paths.get(path.name, path.name), reason) for path, reason in reader.skipped.items()),
    )
    report.write(written, spec.output)
    result: dict[str, Any] = {
        "evaluation": spec.job,
        "model": base.name,
        "split": split,
        "metrics": evaluation["views"].get("1x1"),
        "views": evaluation["views"],
        "half_class": half_class,
        "report": f"/v1/evaluations/{spec.job}/report",
    }
    assert (spec.output / REPORT).exists()
    send_message("result", **result)


def _items(spec: Spec, request: EvaluationRequest) -> tuple[str, tuple[Item, ...]]:
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
            hint=f"One wording per class, in this order: {', '.join(classes[:20])}.",
            field="labels",
        )
    if base.fixed_rows is not None:
        if unknown := [label for label in labels if label not in base.classes]:
            raise InvalidRequest(
                f"{base.name} knows only the classes that it was trained on, and {unknown[0]!r} is none.",
                field="labels",
            )
        return base.fixed_rows[[base.classes.index(label) for label in labels]]  # [C, d]
    inputs = TextInputs("templates", request.templates or base.profile.templates, request.normalize_labels)
    return build_classifier(
        "text", labels=labels, encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0
    ).rows()


def _half_class(scored: Scored) -> HalfClass:
    try:
        return measures.half_class(scored)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", field="protocol") from error
