"""One sentence of advice, for each of the things that a user can do next."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.results import Advice, HeadEstimate
from models.heads.curve import Point
from models.heads.judge import Candidate, Judged
from worker.training.preview.advice import advise
from worker.training.preview.measure import _tower_is_worth_it

CLASSES = ["lunge", "squat"]
CLIPS = 40
LABELS = torch.arange(CLIPS) % 2


def judged(before: float, after: float | Tensor) -> Judged:
    """So large a share of the clips is recognised by the base, and of each clip's fits by `default`."""
    hits: dict[Candidate, Tensor] = {
        "zero_shot": (torch.arange(CLIPS) < before * CLIPS).double(),
        "default": after if isinstance(after, Tensor) else torch.full((CLIPS,), after).double(),
    }
    return Judged(hits, 1.0)


def curve(now: float, doubled: float) -> tuple[Point, ...]:
    return tuple(
        Point(shots, mean, mean - 0.05, mean + 0.05, measured=measured)
        for shots, mean, measured in ((8, now - 0.1, True), (20, now, False), (40, doubled, False))
    )


def advice(found: Judged, points: tuple[Point, ...], *, tower: bool = False) -> Advice:
    paths = [f"{CLASSES[label]}/{number}.mp4" for number, label in enumerate(LABELS.tolist())]
    return advise(found, LABELS, CLASSES, paths, points, tower=tower)


def test_train_where_that_helps() -> None:
    found = advice(judged(0.5, 0.9), curve(0.9, 0.9))
    assert found["action"] == "train"
    assert "50 % becomes about 90 %" in found["sentence"]
    assert "image tower" not in found["sentence"]
    assert "train the image tower" in advice(judged(0.5, 0.9), curve(0.9, 0.9), tower=True)["sentence"]


def test_use_the_base_where_nothing_would_change_it() -> None:
    found = advice(judged(0.9, 0.9), curve(0.9, 0.91))
    assert (found["action"], found["classes"], found["clips"]) == ("use_as_it_is", [], [])
    assert "gets 90 %" in found["sentence"]


def test_label_more_where_more_clips_would_help() -> None:
    hits = torch.ones(CLIPS).double()
    hits[LABELS == 1] = 0.5
    found = advice(judged(0.75, hits), curve(0.75, 0.85))
    assert (found["action"], found["classes"]) == ("label_more", ["squat"])


def test_label_more_where_training_does_no_better_than_chance() -> None:
    assert advice(judged(0.5, 0.5), curve(0.5, 0.5))["action"] == "label_more"


def test_check_labels_that_every_fit_contradicts() -> None:
    """Two of forty, and their class is recognised otherwise."""
    hits = torch.ones(CLIPS).double()
    hits[[4, 7]] = torch.tensor([0.1, 0.0], dtype=torch.float64)
    found = advice(judged(0.5, hits), curve(0.9, 0.9))
    assert (found["action"], found["clips"]) == ("fix_labels", ["squat/7.mp4", "lunge/4.mp4"])  # the worst first
    assert "Check the labels of 2 clips" in found["sentence"]
    hits[4] = 0.2  # some fits recognise it: one clip alone is no pattern
    assert advice(judged(0.5, hits), curve(0.9, 0.9))["action"] == "train"


def test_a_class_that_is_never_recognised_has_no_wrong_labels() -> None:
    hits = (LABELS == 0).double()
    assert advice(judged(0.5, hits), curve(0.5, 0.5))["action"] != "fix_labels"


@pytest.mark.parametrize(
    ("shots", "now", "doubled", "best", "worth"),
    [
        (40, 0.8, 0.805, 0.8, True),
        (39, 0.8, 0.805, 0.8, False),  # too few clips to teach a tower
        (40, 0.8, 0.815, 0.8, False),  # more clips would teach the heads
        (40, 0.96, 0.96, 0.96, False),  # nothing is left to gain
    ],
)
def test_the_tower_is_trained_where_its_features_are_the_limit(
    shots: int, now: float, doubled: float, best: float, worth: bool
) -> None:
    head: HeadEstimate = {"name": "lda", "top1": best, "error": 0.01, "interval": [0.0, 1.0], "note": None}
    assert _tower_is_worth_it(shots, curve(now, doubled), [head]) is worth
    assert not _tower_is_worth_it(shots, (), [head])
