"""Labels by their scores, and predictions of the first ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from core.questions import Label
from models.recognition.scoring import Scores
from worker.inference.ranking import Ranking

LABELS = tuple(Label(name=name) for name in ("a cat", "a dog", "rain", "a train"))
SCORES = Scores(torch.tensor([0.2, 0.3, 0.2, 0.3]), torch.tensor([0.12345649, 0.5, 0.25, -0.125]))
RANKING = Ranking.of(LABELS, SCORES)


def test_equal_scores_keep_the_order_of_the_request() -> None:
    assert [each.label for each in RANKING.predictions()] == ["a dog", "a train", "a cat", "rain"]
    assert [each.label for each in RANKING.predictions(2)] == ["a dog", "a train"]


def test_numbers_have_six_digits_and_belong_to_their_label() -> None:
    cat = RANKING.prediction(2)
    assert (cat.label, cat.score, cat.similarity) == ("a cat", 0.2, 0.123456)
    assert (cat.confidence, cat.present) == (None, None)


def test_a_label_that_reaches_the_threshold_exactly_is_present() -> None:
    confident = replace(RANKING, confidences=np.array([0.4, 0.5, 0.9, 0.1]), threshold=0.5)
    assert [each.present for each in confident.predictions()] == [False, True, True, False]
    assert [each.present for each in replace(RANKING, threshold=0.3).predictions()] == [True, True, False, False]


def test_a_label_is_found_by_its_name() -> None:
    assert [RANKING.rank_of(label.name) for label in LABELS] == [2, 0, 3, 1]
    assert RANKING.rank_of("snow") is None


def test_the_margin_is_that_of_the_two_best_and_the_score_of_a_single_label() -> None:
    assert (RANKING.look.label, RANKING.look.margin) == ("a dog", 0.0)
    alone = Ranking.of(LABELS[:1], Scores(torch.tensor([1.0]), torch.tensor([0.3])))
    assert (alone.look.label, alone.look.margin) == ("a cat", 1.0)
