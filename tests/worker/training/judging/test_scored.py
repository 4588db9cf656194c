from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from tests.worker.training.judging.scores import scored
from worker.training.judging.scored import Embedded, Scored


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([0], [[0.5, 0.5], [0.5, 0.5]]), ([2], [[0.5, 0.5]]), ([-1], [[0.5, 0.5]]), ([0], [[float("nan"), 0.5]])],
)
def test_scores_that_do_not_fit_are_refused(labels: list[int], probabilities: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"clips|label|number"):
        Scored(["a.mp4"], np.array(labels), np.array(probabilities))


def test_scores_come_back_whole_from_a_checkpoint() -> None:
    original, file = scored([0, 1, 2], [0, 1, 1]), io.BytesIO()
    torch.save(original.to_dict(), file)
    file.seek(0)
    loaded = Scored.from_dict(torch.load(file, weights_only=True))
    assert loaded.ids == original.ids
    assert np.array_equal(loaded.labels, original.labels)
    assert np.array_equal(loaded.probabilities, original.probabilities)


def test_vectors_come_back_too_and_an_earlier_checkpoint_has_none() -> None:
    embedded = Embedded(["b"], np.array([1]), np.array([[0.6, 0.8]], np.float32))
    original, file = Scored(["a", "b"], np.array([0, 1]), np.eye(2), embedded), io.BytesIO()
    torch.save(original.to_dict(), file)
    file.seek(0)
    loaded = Scored.from_dict(torch.load(file, weights_only=True)).embedded
    assert loaded
    assert (loaded.ids, loaded.labels.tolist(), loaded.vectors.tolist()) == (["b"], [1], embedded.vectors.tolist())
    assert Scored.from_dict({k: v for k, v in original.to_dict().items() if k != "embedded"}).embedded is None


def test_of_a_clip_that_is_scored_twice_the_first_scores_count() -> None:
    """The padding of a distributed sampler, method §15."""
    twice = Scored(["a", "b", "a", "c", "b"], np.array([0, 1, 0, 1, 1]), np.eye(5, 2) + np.arange(5)[:, None])
    once = twice.without_duplicates()
    assert (list(once.ids), once.labels.tolist()) == (["a", "b", "c"], [0, 1, 1])
    assert np.array_equal(once.probabilities, twice.probabilities[[0, 1, 3]])
