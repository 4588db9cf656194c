"""Heads on frozen features."""

from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import NearestCentroid

from models.heads.linear import HEADS, Span, class_weights, lda, nearest_mean, ridge, usable_heads
from tests.models.heads.conftest import Clouds, clouds


@pytest.mark.parametrize("name", HEADS)
def test_a_head_recognises_clips_that_it_was_not_fitted_on(name: str) -> None:
    fitted, other = clouds(10, seed=1), clouds(30, seed=2)
    span = Span.of(fitted.features)
    head = HEADS[name](span.project(fitted.features), fitted.labels, 3)  # type: ignore[index]
    found = head(span.project(other.features)).argmax(dim=1)
    assert float((found == other.labels).double().mean()) > 0.9


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_the_same_on_features_as_in_the_span_of_the_clips(name: str, made: Clouds) -> None:
    span = Span.of(made.features)
    head = HEADS[name](span.project(made.features), made.labels, 3)  # type: ignore[index]
    torch.testing.assert_close(
        span.lift(head)(made.features.double()), head(span.project(made.features)), rtol=1e-6, atol=1e-6
    )


def test_the_nearest_mean_is_that_of_scikit_learn(made: Clouds) -> None:
    other = clouds(20, spread=6.0, seed=5)
    theirs = NearestCentroid().fit(made.features.numpy(), made.labels.numpy()).predict(other.features.numpy())
    ours = nearest_mean(made.features.double(), made.labels, 3)(other.features.double()).argmax(dim=1)
    assert ours.tolist() == theirs.tolist()


def test_ridge_weighs_all_classes_the_same() -> None:
    """Half-way between the means, ninety clips of one class do not outvote ten of the other."""
    made = clouds(90, classes=2, spread=0.5)
    kept = torch.cat([torch.arange(90), torch.arange(90, 100)])
    x, labels = made.features[kept].double(), made.labels[kept]
    middle = (x[labels == 0].mean(dim=0) + x[labels == 1].mean(dim=0)) / 2
    scores = ridge(x, labels, 2)(middle[None])[0]
    assert abs(float(scores[0] - scores[1])) < 0.1
    assert float(class_weights(labels, 2)[labels == 0].sum()) == pytest.approx(0.5)


def test_lda_is_left_out_where_every_class_has_one_clip() -> None:
    made = clouds(1)
    assert usable_heads(made.labels) == ("ncm", "ridge")
    with pytest.raises(ValueError, match="two or more clips"):
        lda(made.features.double(), made.labels, 3)
