"""Estimates what training costs other labels if every class was trained on: it runs the same recipe again on half of
them.

The more frequent half of the classes is trained on, and the other half stays novel (base to novel, method §12). The
probe runs only if it is nearly free: over the precomputed outputs of a frozen trunk. Its model is thrown away. The
version itself is trained on all classes, and the probe is the best estimate of what that did to other labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.protocols.class_splits import FEWEST_CLASSES, frequent_half
from models.classifier.rows import Classifier
from models.fitting.recipes import effective_batch
from models.judging import protocols
from models.recognition.recognizer import Recognizer
from models.recognition.video_model import VideoModel
from models.text.encoder import TextEncoder
from worker.training.fit.closed_form import Frozen, fit_closed_form
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.judging.baseline import Baseline
from worker.training.judging.comparison import BaseToNovelRecord, base_to_novel_record
from worker.training.judging.gallery import Gallery
from worker.training.judging.kept import after_trunk
from worker.training.judging.scored import Scored
from worker.training.run.base_model import as_served, text_rows
from worker.training.run.feeds import TrunkFeed
from worker.training.run.parts import TrainingRun, new_classifier, new_model


def probe_other_labels(
    run: TrainingRun, gallery: Gallery, baseline: Baseline, feed: TrunkFeed, frozen: Frozen | None = None
) -> BaseToNovelRecord | None:
    """gallery: the clips of the report; frozen: of the train clips, if the run was fitted in closed form. None if the
    dataset does not allow it, because fewer than four classes have both clips to train on and clips in the gallery. The
    leading process trains; all of them score. Raises: VireoError, Stopped."""
    division = run.division
    judged = {item.label for item in division.judged}
    counts = Counter(item.label for item in division.train if item.label in judged)
    if len(counts) < FEWEST_CLASSES or baseline.judged is None or not run.classifier.open_labels:
        return None
    split, before = frequent_half(counts), baseline.judged
    if frozen is None:
        model, classifier = _train_on(run, feed, split.base)
        served = _as_served(run, model, classifier, run.text_encoder)
    else:
        classes = [division.classes.index(name) for name in split.base]
        fitted = fit_closed_form(run, frozen.of(classes), split.base, None)
        served = _as_served(run, fitted.model, fitted.classifier, fitted.encoder)
    if gallery.trunk is None:
        indices, vectors = gallery.vectors(served)  # [n, 1, d]
    else:
        indices, vectors = gallery.trunk_vectors(after_trunk(served, gallery.most), 1)  # [n, 1, d]

    def side(names: Sequence[str]) -> tuple[Scored, Scored]:
        rows = text_rows(served.encode_texts, names, served.profile.templates, normalise=run.request.normalize_labels)
        inside = [at for at, index in enumerate(indices) if division.judged[index].label in names]
        labels = [names.index(division.judged[indices[at]].label) for at in inside]
        chosen, profile = [indices[at] for at in inside], served.profile
        after = gallery.score(
            chosen, vectors[inside], rows, served.logit_scale, profile.aggregate, profile.fusion, labels
        )
        return _restricted(before, division.classes, names), after

    return base_to_novel_record(side(split.base), side(split.novel), split.base, split.novel, how="probe")


def _as_served(run: TrainingRun, model: VideoModel, classifier: Classifier, encoder: TextEncoder) -> Recognizer:
    """The probe's model, as a version with its weights would be served."""
    trained = replace(
        run.base,
        tower=model.tower,
        temporal=model.temporal,
        temporal_kind=model.kind,
        text_encoder=classifier.served_encoder(encoder),
        dim=model.tower.dim,
        profile=run.profile,
        logit_scale=float(model.logit_scale.detach().exp()),
        open_labels=True,
        fixed_rows=None,
    )
    return as_served(trained, run.spec, run.device, keep=False)


def _train_on(run: TrainingRun, feed: TrunkFeed, classes: tuple[str, ...]) -> tuple[VideoModel, Classifier]:
    """A new model, trained on some of the run's classes by the run's recipe. Only the leading process trains; the
    others get what it has trained."""
    config, train_clips = run.config, run.division.train
    model = new_model(run.base, config, run.device)
    classifier = new_classifier(config, classes, run.text_encoder, run.base.dim, run.device)
    clips = [place for place, item in enumerate(train_clips) if item.label in classes]
    subset = feed.subset(clips, [classes.index(train_clips[place].label) for place in clips])
    batch = effective_batch(config.recipe, len(clips) * config.repeats, run.request.batch_size)
    if run.world.leads:
        order = replace(run.order, clips=len(clips), batch=batch, micro=batch, rank=0, world=1)
        objective = config.objective
        fit_encoder(config, model, classifier, objective, subset, order, State(), run.device, run.stop, lambda *_: None)
    for part in (model, classifier):
        trained = {name: tensor.detach().cpu() for name, tensor in part.named_parameters() if tensor.requires_grad}
        of_leader, *_ = run.world.gather(trained if run.world.leads else {})
        part.load_state_dict(of_leader, strict=False)
    return model, classifier


def _restricted(scored: Scored, classes: Sequence[str], names: Sequence[str]) -> Scored:
    """The clips of some classes, scored among these classes only."""
    columns = [classes.index(name) for name in names]
    inside: list[int] = np.flatnonzero(np.isin(scored.labels, columns)).tolist()
    chosen, own = protocols.restrict(scored.probabilities, scored.labels, columns)  # [m, K], [m]
    return Scored([scored.ids[place] for place in inside], own, np.asarray(chosen, np.float32))
