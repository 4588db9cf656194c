from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from core.vocabulary import Aggregate
from models.recognition.scoring import score

AGGREGATES: list[Aggregate] = ["features", "probabilities", "logits"]


def toy() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(12, 16, generator=generator) * torch.linspace(1, 9, 12).view(12, 1)  # of unequal length
    return views, normalize(torch.randn(5, 16, generator=generator), dim=-1)


def test_features_is_the_softmax_of_the_normalised_mean() -> None:
    views, rows = toy()
    cosines = rows @ normalize(views.mean(dim=0), dim=0)
    scores = score(views, rows, 30.0, "features")
    torch.testing.assert_close(scores.similarities, cosines)
    torch.testing.assert_close(scores.probabilities, (30 * cosines).softmax(dim=0))


def test_probabilities_is_the_mean_of_softmaxes() -> None:
    views, rows = toy()
    each = [(30 * (rows @ normalize(view, dim=0))).softmax(dim=0) for view in views]
    torch.testing.assert_close(score(views, rows, 30.0, "probabilities").probabilities, torch.stack(each).mean(dim=0))


def test_logits_is_the_softmax_of_the_mean_logit() -> None:
    views, rows = toy()
    each = [30 * (rows @ normalize(view, dim=0)) for view in views]
    torch.testing.assert_close(
        score(views, rows, 30.0, "logits").probabilities, torch.stack(each).mean(dim=0).softmax(dim=0)
    )


@pytest.mark.parametrize("how", ["probabilities", "logits"])
def test_the_similarity_of_views_that_are_scored_apart_is_their_mean(how: Aggregate) -> None:
    views, rows = toy()
    expected = torch.stack([rows @ normalize(view, dim=0) for view in views]).mean(dim=0)
    torch.testing.assert_close(score(views, rows, 30.0, how).similarities, expected)


def test_the_three_differ_on_several_views_and_agree_on_one() -> None:
    views, rows = toy()
    several = [score(views, rows, 30.0, how).probabilities for how in AGGREGATES]
    assert not torch.allclose(several[0], several[1], atol=1e-3)
    assert not torch.allclose(several[1], several[2], atol=1e-3)
    one = [score(views[:1], rows, 30.0, how).probabilities for how in AGGREGATES]
    torch.testing.assert_close(one[0], one[1])
    torch.testing.assert_close(one[1], one[2])


@pytest.mark.parametrize("how", AGGREGATES)
def test_scores_are_distributions_and_cosines(how: Aggregate) -> None:
    views, rows = toy()
    scores = score(views, rows, 100.0, how)
    assert scores.probabilities.shape == scores.similarities.shape == (5,)
    assert scores.probabilities.sum().item() == pytest.approx(1)
    assert scores.similarities.abs().max() <= 1


def test_a_known_video_has_its_known_score() -> None:
    scores = score(torch.tensor([[3.0, 4.0]]), torch.eye(2), 10.0, "features")  # v̂ = (0.6, 0.8)
    torch.testing.assert_close(scores.similarities, torch.tensor([0.6, 0.8]))
    assert scores.probabilities[1].item() == pytest.approx(1 / (1 + math.exp(-2)))
