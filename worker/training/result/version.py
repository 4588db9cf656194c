"""The end of a run: write the trained model down as a version, judge what was written, and add card and report."""

from __future__ import annotations

import platform
import time
from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from core.registry import CARD, Card
from core.results import PreviewResult, Promotion, ViewMetrics
from models.files.saving import save_prompts, save_version
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from worker.children.messages import send_message
from worker.training.fit.closed_form import Frozen
from worker.training.fit.updates import State
from worker.training.judging.baseline import Baseline
from worker.training.judging.comparison import BaseToNovelRecord, base_to_novel_record, compare_scores
from worker.training.judging.gallery import Galleries, score_served
from worker.training.judging.measures import SINGLE, Evaluation, evaluate_views, view_metrics
from worker.training.judging.probe import probe_other_labels
from worker.training.judging.scored import Scored
from worker.training.result.headline import headline
from worker.training.result.maps import map_vectors
from worker.training.result.predictions import write_predictions
from worker.training.result.promotion import judge_promotion
from worker.training.result.report import build_report, write_report
from worker.training.result.report_types import DatasetFacts, FitFacts, ModelFacts, Report
from worker.training.run.base_model import open_written_version, served_rows, text_rows
from worker.training.run.division import shots_record
from worker.training.run.feeds import Feed, TrunkFeed
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


@dataclass(frozen=True, slots=True)
class Judged:
    """What the written version does on the clips of the report."""

    precision: str  # of the image tower, as served
    rows: Tensor  # W, unit rows [C, d], as served
    scored: Mapping[str, Scored]  # by view
    base_to_novel: BaseToNovelRecord | None
    promotion: Promotion | None


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves. run: with the trained model; solution: of the closed form, for the card; frozen: what the
    closed form was fitted to."""

    run: TrainingRun
    state: State
    baseline: Baseline
    feed: Feed
    preview: PreviewResult | None
    frozen: Frozen | None = None
    solution: dict[str, Any] | None = None


def write_version(run: TrainingRun, galleries: Galleries, trained: Trained) -> None:
    """Write weights, card and report to `spec.output`, and send the result. What is judged is what was written: the
    version is opened from its files and does what an inference worker would do with it. Every process of the run judges
    its share of the clips; the leading one writes. Raises: VireoError, Stopped."""
    run.world.report_phase("evaluating")
    draft = _write_draft(run, trained.solution) if run.world.leads else None
    run.world.gather(None)  # the files are complete
    judged = _judge(run, galleries, trained)
    skipped = run.world.gather(run.reader.skipped | run.train_reader.skipped)
    if draft is None:
        return
    evaluation = evaluate_views(judged.scored, run.division.classes)
    run.world.report_phase("publishing")
    card = _finished_card(run, draft, _wait_for_number(run), judged, evaluation["views"], trained)
    write_report(_report(run, card, trained, evaluation, judged, skipped), run.spec.output)
    write_predictions(judged.scored, run.division.classes, run.spec.output, trained.baseline.judged)
    _write_card(run, card)
    send_message("result", metrics=evaluation["views"].get(SINGLE))


def _judge(run: TrainingRun, galleries: Galleries, trained: Trained) -> Judged:
    """Raises: VireoError, Stopped."""
    served, division = open_written_version(run.spec, run.device), run.division
    rows = served_rows(served, division.classes, normalise=run.request.normalize_labels)
    assert rows is not None  # a version knows its own classes
    names = dict.fromkeys((SINGLE, run.config.views))
    scored = {name: score_served(served, galleries.judged, rows, Views.parse(name)) for name in names}
    base_to_novel = _base_to_novel(run, galleries, trained, served, scored[SINGLE])
    promotion = judge_promotion(run, galleries.judged, trained.baseline.judged, scored[SINGLE])
    return Judged(served.precision, rows, scored, base_to_novel, promotion)


def _base_to_novel(
    run: TrainingRun, galleries: Galleries, trained: Trained, served: Recognizer, base_after: Scored
) -> BaseToNovelRecord | None:
    """Measured on the classes left out of training; if there are none, by a probe."""
    division, baseline = run.division, trained.baseline
    if not division.novel and isinstance(trained.feed, TrunkFeed):
        return probe_other_labels(run, galleries.judged, baseline, trained.feed, trained.frozen)
    if baseline.unseen is None or baseline.judged is None or not run.classifier.open_labels:
        return None
    rows = served_rows(served, division.novel, normalise=run.request.normalize_labels)
    assert rows is not None  # its labels are open
    base, novel = (baseline.judged, base_after), (baseline.unseen, score_served(served, galleries.unseen, rows))
    return base_to_novel_record(base, novel, division.classes, division.novel)


def _write_draft(run: TrainingRun, solution: dict[str, Any] | None) -> Card:
    """Write the version without its results."""
    save = save_prompts if run.config.method.prompted else save_version
    saved = save(
        run.spec.output,
        run.model,
        run.base,
        encoder=run.classifier.served_encoder(run.text_encoder),
        classifier=run.classifier.state(),
    )
    draft = _draft_card(run, saved, solution)
    _write_card(run, draft)
    return draft


def _write_card(run: TrainingRun, card: Card) -> None:
    (run.spec.output / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")


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
    trained: Trained,
    evaluation: Evaluation,
    judged: Judged,
    skipped: Sequence[Mapping[Path, str]],
) -> Report:
    """skipped: by the readers of each process."""
    dataset, state, baseline = run.spec.dataset, trained.state, trained.baseline
    return build_report(
        evaluation,
        model=ModelFacts(
            name=f"{card.name}:{card.version}",
            base=card.base,
            recipe=card.recipe,
            classifier=run.config.classifier,
            temporal=run.config.temporal,
            open_labels=card.open_labels,
            precision=judged.precision,
            fit=_fit(card.hyperparameters),
        ),
        dataset=DatasetFacts(id=dataset.id, digest=dataset.digest, name=dataset.name),
        split=run.division.judged_split,
        created_at=card.created_at,
        classes=run.division.classes,
        classifiers=_classifiers(run, judged.rows),
        curves={"train": state.curve, "val": state.checks},
        before=None if baseline.judged is None else compare_scores(baseline.judged, judged.scored[SINGLE]),
        base_to_novel=judged.base_to_novel,
        preview=trained.preview,
        headline=card.metrics["headline"],
        vectors=map_vectors(baseline.judged.embedded if baseline.judged else None, judged.scored[SINGLE].embedded),
        skipped=run.spec.clip_paths(dict(ChainMap(*map(dict, skipped)))),
    )


def _fit(numbers: Mapping[str, Any]) -> FitFacts | None:
    """numbers: of the card."""
    if "mix" not in numbers:
        return None
    return {"heads": numbers["heads"], "mix": numbers["mix"], "zero_shot_skill": numbers["zero_shot_skill"]}


def _classifiers(run: TrainingRun, rows: Tensor) -> dict[str, Any]:
    """W by its kind. If W is not made of text, also the rows that the base model's text encoder gives, to compare."""
    found = {run.config.classifier: rows.numpy()}
    if run.config.classifier != "text" and run.base.fixed_rows is None:
        encode, templates = run.base.text_encoder.encode, run.base.profile.templates
        normalise = run.request.normalize_labels
        of_text = text_rows(encode, run.division.classes, templates, normalise=normalise)
        found[f"text of {run.base.name}"] = of_text.numpy()
    return found


def _draft_card(run: TrainingRun, saved: dict[str, Any], solution: dict[str, Any] | None) -> Card:
    """All that is needed to open the version; the results and the number are not known yet."""
    request, config, dataset = run.request, run.config, run.spec.dataset
    return Card(
        name=request.name,
        version=0,
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
        hyperparameters=config.to_dict() | {"trained_parameters": _trained_parameters(run)} | (solution or {}),
        dataset={"id": dataset.id, "digest": dataset.digest, "name": dataset.name, "splits": dict(dataset.splits)}
        | ({} if request.split_column is None else {"split_column": request.split_column}),
        shots=shots_record(request, run.division, config.seed),
        seeds={"run": config.seed} | ({} if dataset.split_seed is None else {"split": dataset.split_seed}),
        job=run.spec.job,
        packages=_packages(),
        **saved,
    )


def _trained_parameters(run: TrainingRun) -> dict[str, int]:
    """How many numbers each role trained."""
    counts: Counter[str] = Counter()
    for role, _, parameter in (*run.model.parameters_by_role(), *run.classifier.parameters_by_role()):
        if parameter.requires_grad:
            counts[role] += parameter.numel()
    return dict(counts)


def _finished_card(
    run: TrainingRun, draft: Card, number: int, judged: Judged, views: dict[str, ViewMetrics], trained: Trained
) -> Card:
    metrics: dict[str, Any] = {"split": run.division.judged_split, "precision": judged.precision, "views": views}
    baseline = trained.baseline
    metrics["headline"] = headline(
        judged.scored[SINGLE],
        baseline.judged,
        trained.preview,
        run.division.judged_split,
        closed_form=trained.solution is not None,
    )
    if baseline.judged is not None and len(baseline.judged.ids):
        metrics["before"] = view_metrics(baseline.judged)
    if judged.promotion is not None:
        metrics["promotion"] = judged.promotion
    found = None if judged.base_to_novel is None else dict(judged.base_to_novel)
    update = {"version": number, "created_at": time.time(), "metrics": metrics, "base_to_novel": found}
    return draft.model_copy(update=update)


def _packages() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an optional one
            continue
    return found
