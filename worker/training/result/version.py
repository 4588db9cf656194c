"""The end of a run: what was trained is judged, and written down as a version that is ready to be published."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from core.registry import CARD, Card
from models.files.saving import save_version
from models.frames.sampling import Views
from worker.children.messages import send_message
from worker.training.judging import measures
from worker.training.judging.measures import BaseToNovel, Scored
from worker.training.judging.probe import probe
from worker.training.result import report
from worker.training.run.checkpoints import unpack
from worker.training.run.division import shots_record
from worker.training.run.feeds import TrunkFeed

if TYPE_CHECKING:
    from worker.training.process.session import Session

PACKAGES = ("vireo", "torch", "torchvision", "open_clip_torch", "av", "numpy", "scikit-learn", "transformers", "timm")
POLL_SECONDS = 0.05


def conclude(session: Session) -> None:
    """Writes `spec.output`, and says so. Raises: VireoError, Stopped."""
    session.tell("evaluating")
    scored = _judge(session)
    single = scored["1x1"]
    before = session.kept.get("judged")
    evaluation = measures.evaluate(scored, session.division.classes)
    base_to_novel = _base_to_novel(session, single)
    saved = _save(session)
    session.tell("publishing")
    card = _card(session, _number(session), saved, evaluation["views"], base_to_novel)
    written = report.build(
        evaluation,
        model={
            "name": f"{card.name}:{card.version}",
            "base": card.base,
            "recipe": card.recipe,
            "classifier": session.config.classifier,
            "temporal": session.config.temporal,
            "open_labels": card.open_labels,
        },
        dataset=report.DatasetFacts(
            id=session.spec.dataset.id, digest=session.spec.dataset.digest, name=session.spec.dataset.name
        ),
        split=session.division.judged_split,
        created_at=card.created_at,
        classes=session.division.classes,
        classifiers=_classifiers(session),
        curves={"train": session.state.curve, "val": session.state.checks},
        before=measures.compare(unpack(before), single) if before else None,
        base_to_novel=base_to_novel,
        skipped=_skipped(session),
    )
    report.write(written, session.spec.output)
    (session.spec.output / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
    send_message("result", metrics=card.metrics["views"].get("1x1"))


def _judge(session: Session) -> dict[str, Scored]:
    """View → scores. Raises: Stopped."""
    rows = session.classifier.rows()
    names = dict.fromkeys(("1x1", session.request.views))
    return {
        name: session.score(session.judged, session.model, rows, session.scale, Views.parse(name)) for name in names
    }


def _base_to_novel(session: Session, base_after: Scored) -> BaseToNovel | None:
    """What training cost other labels: those of the dataset that were not trained on, or as a probe finds it."""
    kept, division = session.kept, session.division
    if not division.novel and isinstance(session.feed, TrunkFeed):
        return probe(session, session.feed)
    if "unseen" not in kept or "judged" not in kept or not session.classifier.open_labels:
        return None
    texts = session.classifier.served_encoder(session.texts)
    rows = session.text_rows(texts, division.novel, session.config.inputs.served)
    novel_after = session.score(session.unseen, session.model, rows, session.scale)
    return measures.base_to_novel(
        (unpack(kept["judged"]), base_after),
        (unpack(kept["unseen"]), novel_after),
        division.classes,
        division.novel,
    )


def _save(session: Session) -> dict[str, Any]:
    return save_version(
        session.spec.output,
        session.model,
        session.base,
        encoder=session.classifier.served_encoder(session.texts),
        classifier=session.classifier.state(),
    )


def _number(session: Session) -> int:
    """Ask for the version's number, and wait for it. Raises: Stopped."""
    send_message("ready")
    while not session.spec.number.exists():
        session.stop.check()
        time.sleep(POLL_SECONDS)
    return int(session.spec.number.read_text(encoding="utf-8"))


def _classifiers(session: Session) -> dict[str, Any]:
    """W by what it is; beside one that is not made of the base's texts, the one that is."""
    found = {session.config.classifier: session.classifier.rows().detach().cpu().numpy()}
    if session.config.classifier != "text" and (text := session.base_rows(session.division.classes)) is not None:
        found[f"text of {session.base.name}"] = text.cpu().numpy()
    return found


def _skipped(session: Session) -> list[tuple[str, str]]:
    paths = {item.sha256: item.path for item in session.spec.dataset.items}
    skipped = session.reader.skipped | session.train_reader.skipped
    return sorted((paths.get(path.name, path.name), reason) for path, reason in skipped.items())


def _card(
    session: Session, number: int, saved: dict[str, Any], views: dict[str, Any], base_to_novel: BaseToNovel | None
) -> Card:
    request, config, dataset = session.request, session.config, session.spec.dataset
    before = session.kept.get("judged")
    metrics: dict[str, Any] = {"split": session.division.judged_split, "views": views}
    if before and len(before["ids"]):
        metrics["before"] = measures.measure(unpack(before))
    return Card(
        name=request.name,
        version=number,
        created_at=time.time(),
        origin="trained",
        base=session.base.name,
        method=request.method,
        recipe=request.recipe,
        classifier={
            "kind": config.classifier,
            "text_inputs": config.inputs.mode,
            "templates": list(config.inputs.served),
            "normalize_labels": request.normalize_labels,
        },
        classes=session.division.classes,
        open_labels=session.classifier.open_labels,
        profile=session.profile.to_dict(),
        hyperparameters=config.to_dict(),
        dataset={"id": dataset.id, "digest": dataset.digest, "name": dataset.name, "splits": dict(dataset.splits)},
        shots=shots_record(request, session.division, session.seed),
        seeds={"run": session.seed} | ({} if dataset.split_seed is None else {"split": dataset.split_seed}),
        metrics=metrics,
        base_to_novel=None if base_to_novel is None else dict(base_to_novel),
        job=session.spec.job,
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
