"""The contrastive loss (method §13), by hand."""

from __future__ import annotations

import math

import pytest
import torch

from core.vocabulary import Contrast
from models.fitting.objectives import Contrastive, Targets

SCALE = 5.0
VIDEO = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
ROWS = torch.nn.functional.normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)), dim=-1)
LABELS = torch.tensor([2, 0, 2, 1])


def loss(contrast: Contrast, weights: list[float]) -> float:
    targets = Targets(LABELS, torch.tensor(weights))
    return float(Contrastive(contrast)(VIDEO, targets, ROWS, torch.tensor(SCALE).log()))


def by_hand(contrast: Contrast, clips: list[int]) -> float:
    """The mean of both directions, summed over clips."""
    total = 0.0
    for one in clips:
        for backwards in (False, True):
            scores = []
            for other in clips:
                clip, text = (other, one) if backwards else (one, other)
                video, row = VIDEO[clip], ROWS[LABELS[text]]
                scores.append(SCALE * float(video @ row) / float(video.norm()))
            log_sum = math.log(sum(map(math.exp, scores)))
            same = [10.0 * float(LABELS[one] == LABELS[other]) for other in clips]
            if contrast == "ce":
                total -= scores[clips.index(one)] - log_sum
            else:
                norm = sum(map(math.exp, same))
                for score, target in zip(scores, same, strict=True):
                    share = math.exp(target) / norm
                    total += share * (math.log(share) - (score - log_sum))
    return total / 2


@pytest.mark.parametrize("contrast", ["kl", "ce"])
def test_the_loss_is_the_mean_of_both_directions(contrast: Contrast) -> None:
    assert loss(contrast, [1, 1, 1, 1]) == pytest.approx(by_hand(contrast, [0, 1, 2, 3]), rel=1e-5)


@pytest.mark.parametrize("contrast", ["kl", "ce"])
def test_clips_without_weight_are_no_negatives(contrast: Contrast) -> None:
    assert loss(contrast, [1, 0, 1, 1]) == pytest.approx(by_hand(contrast, [0, 2, 3]), rel=1e-5)


def test_two_clips_of_a_class_share_their_target() -> None:
    """With `kl` they may score alike; with `ce` each is the other's wrong text."""
    both = Targets(torch.tensor([2, 2]), torch.ones(2))
    alike = ROWS[2].expand(2, -1)
    s = torch.tensor(SCALE).log()
    assert float(Contrastive("kl")(alike, both, ROWS, s)) == pytest.approx(0.0, abs=1e-6)
    assert float(Contrastive("ce")(alike, both, ROWS, s)) == pytest.approx(2 * math.log(2), rel=1e-5)
