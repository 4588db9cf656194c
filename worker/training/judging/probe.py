"""What training costs other labels, where every class was trained on: the same recipe once more, on half of them.

The more frequent half of the classes is trained on, the other half stays novel (base to novel, method §12). It is
done where a run is nearly free: over a frozen trunk whose answers are kept. The probe's model is thrown away; the
version's own training is another one, on all classes, and this is the best estimate of what it did to other labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from models.fitting.recipes import effective_batch
from models.judging import protocols
from worker.training.judging import measures
from worker.training.judging.measures import BaseToNovel, Scored
from worker.training.run.checkpoints import unpack
from worker.training.run.feeds import TrunkFeed
from worker.training.run.loop import State, train

if TYPE_CHECKING:
    from models.classifier.rows import Classifier
    from models.recognition.video_model import VideoModel
    from worker.training.process.session import Session

FEWEST_CLASSES = 4  # two on each side: with one there is nothing to confuse


def probe(session: Session, feed: TrunkFeed) -> BaseToNovel | None:
    """None where the dataset does not allow it: fewer than four classes with clips to train on and clips to be judged
    by. Raises: VireoError, Stopped."""
    judged = {item.label for item in session.division.judged}
    counts = Counter(item.label for item in session.division.train if item.label in judged)
    if len(counts) < FEWEST_CLASSES or "judged" not in session.kept or not session.classifier.open_labels:
        return None
    split = protocols.frequent_half(counts)
    model, classifier = _trained(session, feed, split.base)
    texts = classifier.served_encoder(session.texts)
    novel_rows = session.text_rows(texts, split.novel, session.config.inputs.served)
    places, vectors = session.vectors(session.judged, model)  # [n, 1, d]
    before = unpack(session.kept["judged"])

    def side(names: Sequence[str], rows: Tensor) -> tuple[Scored, Scored]:
        inside = [at for at, place in enumerate(places) if session.division.judged[place].label in names]
        labels = [names.index(session.division.judged[places[at]].label) for at in inside]
        chosen, scale = [places[at] for at in inside], float(model.logit_scale.detach().exp())
        after = session.judged.scored(chosen, vectors[inside], rows, scale, session.profile.aggregate, labels)
        return _among(before, session.division.classes, names), after

    sides = side(split.base, classifier.rows()), side(split.novel, novel_rows)
    return measures.base_to_novel(*sides, split.base, split.novel, how="probe")


def _trained(session: Session, feed: TrunkFeed, classes: tuple[str, ...]) -> tuple[VideoModel, Classifier]:
    """The run's recipe on some of its classes."""
    model, classifier = session.fresh_model(), session.fill(classes)
    train_clips = session.division.train
    clips = [place for place, item in enumerate(train_clips) if item.label in classes]
    part = feed.part(clips, [classes.index(train_clips[place].label) for place in clips])
    config = session.config
    batch = effective_batch(config.recipe, len(clips) * config.repeats, session.request.batch_size)
    order = replace(session.order, clips=len(clips), batch=batch, micro=batch)
    train(config, model, classifier, part, order, State(), session.device, session.stop, lambda *_: None)
    return model, classifier


def _among(scored: Scored, classes: Sequence[str], names: Sequence[str]) -> Scored:
    """The clips of some classes, scored among these alone."""
    columns = [classes.index(name) for name in names]
    inside: list[int] = np.flatnonzero(np.isin(scored.labels, columns)).tolist()
    chosen, own = protocols.restrict(scored.probabilities, scored.labels, columns)  # [m, K], [m]
    return Scored([scored.ids[place] for place in inside], own, np.asarray(chosen, np.float32))
