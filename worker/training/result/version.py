"""The end of a run: evaluate the trained model, and write it down as a version that is ready to be published."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import Any

from core.registry import CARD, Card
from core.results import ViewMetrics
from models.files.saving import save_version
from models.frames.sampling import Views
from worker.children.messages import send_message
from worker.training.judging.baseline import Baseline
from worker.training.judging.comparison import BaseToNovelRecord, base_to_novel_record, compare_scores
from worker.training.judging.gallery import Galleries, score_gallery, score_trained
from worker.training.judging.measures import SINGLE, Evaluation, evaluate_views, view_metrics
from worker.training.judging.probe import probe_other_labels
from worker.training.judging.scored import Scored
from worker.training.result.report import build_report, write_report
from worker.training.result.report_types import DatasetFacts, ModelFacts, Report
from worker.training.run.base_model import base_rows, text_rows
from worker.training.run.division import shots_record
from worker.training.run.feeds import Feed, TrunkFeed
from worker.training.run.loop import State
from worker.training.run.parts import TrainingRun

# Packages whose versions the card records.
PACKAGES = (
    "vireo-server",
    "torch",
    "torchvision",
    "open_clip_torch",
    "av",
    "numpy",
    "scikit-learn",
    "transformers",
    "timm",
)
NUMBER_POLL_SECONDS = 0.05


def write_version(run: TrainingRun, galleries: Galleries, state: State, baseline: Baseline, feed: Feed) -> None:
    """Write weights, card and report to `spec.output`, and send the result. Raises: VireoError, Stopped."""
    run.world.report_phase("evaluating")
    views = dict.fromkeys((SINGLE, run.request.views))
    scored = {views: score_trained(run, galleries.judged, Views.parse(views)) for views in views}
    evaluation = evaluate_views(scored, run.division.classes)
    base_to_novel = _base_to_novel(run, galleries, baseline, feed, scored[SINGLE])
    saved = _save_weights(run)
    run.world.report_phase("publishing")
    card = _card(run, _wait_for_number(run), saved, evaluation["views"], baseline, base_to_novel)
    write_report(_report(run, card, state, baseline, evaluation, scored[SINGLE], base_to_novel), run.spec.output)
    (run.spec.output / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
    send_message("result", metrics=evaluation["views"].get(SINGLE))


def _base_to_novel(
    run: TrainingRun, galleries: Galleries, baseline: Baseline, feed: Feed, base_after: Scored
) -> BaseToNovelRecord | None:
    """Measured on the classes left out of training; if there are none, by a probe."""
    division = run.division
    if not division.novel and isinstance(feed, TrunkFeed):
        return probe_other_labels(run, galleries.judged, baseline, feed)
    if baseline.unseen is None or baseline.judged is None or not run.classifier.open_labels:
        return None
    text_encoder, templates = run.classifier.served_encoder(run.text_encoder), run.config.inputs.served
    rows = text_rows(text_encoder, division.novel, templates, run.base.dim, normalise=run.request.normalize_labels)
    novel_after = score_gallery(run, galleries.unseen, run.model, rows, run.scale)
    base, novel = (baseline.judged, base_after), (baseline.unseen, novel_after)
    return base_to_novel_record(base, novel, division.classes, division.novel)


def _save_weights(run: TrainingRun) -> dict[str, Any]:
    return save_version(
        run.spec.output,
        run.model,
        run.base,
        encoder=run.classifier.served_encoder(run.text_encoder),
        classifier=run.classifier.state(),
    )


def _wait_for_number(run: TrainingRun) -> int:
    """Ask the worker for the version's number, and wait for it. Raises: Stopped."""
    send_message("ready")
    while not run.spec.number.exists():
        run.stop.check()
        time.sleep(NUMBER_POLL_SECONDS)
    return int(run.spec.number.read_text(encoding="utf-8"))


def _report(
    run: TrainingRun,
    card: Card,
    state: State,
    baseline: Baseline,
    evaluation: Evaluation,
    single: Scored,
    base_to_novel: BaseToNovelRecord | None,
) -> Report:
    dataset = run.spec.dataset
    return build_report(
        evaluation,
        model=ModelFacts(
            name=f"{card.name}:{card.version}",
            base=card.base,
            recipe=card.recipe,
            classifier=run.config.classifier,
            temporal=run.config.temporal,
            open_labels=card.open_labels,
        ),
        dataset=DatasetFacts(id=dataset.id, digest=dataset.digest, name=dataset.name),
        split=run.division.judged_split,
        created_at=card.created_at,
        classes=run.division.classes,
        classifiers=_classifiers(run),
        curves={"train": state.curve, "val": state.checks},
        before=compare_scores(baseline.judged, single) if baseline.judged is not None else None,
        base_to_novel=base_to_novel,
        skipped=run.spec.clip_paths(run.reader.skipped | run.train_reader.skipped),
    )


def _classifiers(run: TrainingRun) -> dict[str, Any]:
    """W by its kind. If W is not made of text, also the rows that the base model's text encoder gives, to compare."""
    found = {run.config.classifier: run.classifier.rows().detach().cpu().numpy()}
    if run.config.classifier != "text":
        rows = base_rows(run.base, run.division.classes, normalise=run.request.normalize_labels)
        if rows is not None:
            found[f"text of {run.base.name}"] = rows.cpu().numpy()
    return found


def _card(
    run: TrainingRun,
    number: int,
    saved: dict[str, Any],
    views: dict[str, ViewMetrics],
    baseline: Baseline,
    base_to_novel: BaseToNovelRecord | None,
) -> Card:
    request, config, dataset = run.request, run.config, run.spec.dataset
    metrics: dict[str, Any] = {"split": run.division.judged_split, "views": views}
    if baseline.judged is not None and len(baseline.judged.ids):
        metrics["before"] = view_metrics(baseline.judged)
    return Card(
        name=request.name,
        version=number,
        created_at=time.time(),
        origin="trained",
        base=run.base.name,
        method=request.method,
        recipe=request.recipe,
        classifier={
            "kind": config.classifier,
            "text_inputs": config.inputs.mode,
            "templates": list(config.inputs.served),
            "normalize_labels": request.normalize_labels,
        },
        classes=run.division.classes,
        open_labels=run.classifier.open_labels,
        profile=run.profile.to_dict(),
        hyperparameters=config.to_dict(),
        dataset={"id": dataset.id, "digest": dataset.digest, "name": dataset.name, "splits": dict(dataset.splits)},
        shots=shots_record(request, run.division, config.seed),
        seeds={"run": config.seed} | ({} if dataset.split_seed is None else {"split": dataset.split_seed}),
        metrics=metrics,
        base_to_novel=None if base_to_novel is None else dict(base_to_novel),
        job=run.spec.job,
        packages=_packages(),
        **saved,
    )


def _packages() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an optional one
            continue
    return found
