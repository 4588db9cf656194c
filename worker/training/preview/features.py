"""Frozen features of a run's train clips, extracted once for the preview and the fit."""

from __future__ import annotations

from typing import Final

import torch

from models.fitting import shots
from worker.training.fit.closed_form import Frozen, frozen_features
from worker.training.run.division import samples_of
from worker.training.run.feeds import Feed, TrunkFeed, trunk_outputs
from worker.training.run.parts import TrainingRun

TOGETHER: Final = 64  # clips in one pass of the neck
MOST_PER_CLASS: Final = 64  # clips that a preview looks at where the tower itself is trained
MOST: Final = 1000


def features_of(run: TrainingRun, feed: Feed, seconds: float) -> Frozen:
    """What the base makes of the train clips: of all if its trunk is frozen, of some of each class otherwise. seconds:
    that the feed has taken. Raises: TrainingFailed, VireoError."""
    if isinstance(feed, TrunkFeed):
        return frozen_features(feed.kept(TOGETHER), run.model, seconds)
    train, classes = run.division.train, run.division.classes
    most = max(1, min(MOST_PER_CLASS, MOST // len(classes)))
    drawn = shots.draw_shots([(item.sha256, item.label) for item in train], most, run.config.seed, up_to=True).ids
    chosen = [place for place, item in enumerate(train) if item.sha256 in drawn]
    samples = samples_of([train[place] for place in chosen], classes, run.spec.clips)
    run.world.report_phase("features")
    was_training = run.model.training
    run.model.eval()
    outputs = trunk_outputs(run.model, run.reader, samples, run.profile, run.device, run.trunk_files())
    groups = ((x[None], torch.tensor([samples[at].label]), [chosen[at]]) for x, at in outputs)
    found = frozen_features(groups, run.model, 0.0)
    run.model.train(was_training)
    return found
